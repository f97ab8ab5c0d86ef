public import VFIO
public import VFIOMock

extension Example {
    /// A device that an example needs.
    public struct Part: Sendable {
        /// Its address on the mock, which is the same in the lab.
        public let address: PCIAddress
        /// The device's model on the mock.
        public let model: any MockDevice
        /// The required device on the real kernel, for ``Example``'s help.
        public let description: String

        public init(_ address: PCIAddress, _ model: any MockDevice, _ description: String) {
            self.address = address
            self.model = model
            self.description = description
        }
    }
}
