public import VFIO
public import VFIOMock

extension Example {
    /// A device that an example wants.
    public struct Part: Sendable {
        /// Where it is on the mock, which is also where the lab has it.
        public let address: PCIAddress
        /// What it is on the mock.
        public let model: any MockDevice
        /// What it has to be on the real kernel, for ``Example``'s help.
        public let description: String

        public init(_ address: PCIAddress, _ model: any MockDevice, _ description: String) {
            self.address = address
            self.model = model
            self.description = description
        }
    }
}
