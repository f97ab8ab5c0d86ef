internal import CVFIO

/// The s390 properties of a PCI function, from the capabilities of `VFIO_DEVICE_GET_INFO` (`<linux/vfio_zdev.h>`).
public struct ZPCIInfo: Sendable, Hashable {
    /// The function itself (`VFIO_DEVICE_INFO_CAP_ZPCI_BASE`).
    public struct Base: Sendable, Hashable {
        /// The DMA addresses that the function can use.
        public let dmaRange: ClosedRange<UInt64>
        /// The physical channel.
        public let channel: UInt16
        /// The number of the virtual function.
        public let virtualFunction: UInt16
        /// The length of a measurement block, in bytes.
        public let measurementByteCount: UInt16
        /// The type of the function.
        public let functionType: UInt8
        /// The group of the function.
        public let group: UInt8
        /// The function's handle; `nil` from older kernels.
        public let handle: UInt32?
        /// The length of an error report in bytes; `nil` from older kernels.
        public let errorByteCount: Int?
    }

    /// The common properties of all functions of a group (`VFIO_DEVICE_INFO_CAP_ZPCI_GROUP`).
    public struct Group: Sendable, Hashable {
        /// The DMA address space mask.
        public let dmaMask: UInt64
        /// The address of interrupt messages.
        public let messageAddress: UInt64
        /// Whether refreshes of translations are required (`VFIO_DEVICE_INFO_ZPCI_FLAG_REFRESH`).
        public let needsRefresh: Bool
        /// The interval of the measurements, in milliseconds.
        public let measurementInterval: UInt16
        /// The number of interrupts of a function.
        public let interruptCount: UInt16
        /// The maximum length of a store, in bytes.
        public let longestStore: UInt16
        /// The version of the group.
        public let version: UInt8
        /// The maximum length of a store through the interpreter, in bytes; `nil` from older kernels.
        public let longestInterpretedStore: UInt16?
    }

    public let base: Base?
    public let group: Group?
    /// A user-defined text in EBCDIC (`VFIO_DEVICE_INFO_CAP_ZPCI_UTIL`); empty without one.
    public let utilityString: [UInt8]
    /// The path of the function (`VFIO_DEVICE_INFO_CAP_ZPCI_PFIP`); empty without one.
    public let path: [UInt8]

    /// Decodes the capabilities; `nil` if there are none of them.
    init?(_ answer: InfoAnswer<cvfio_device_info>, subject: String) throws(VFIOError) {
        base = try answer.has(CVFIO_DEVICE_INFO_CAP_ZPCI_BASE) ? Self.base(answer, subject) : nil
        group = try answer.has(CVFIO_DEVICE_INFO_CAP_ZPCI_GROUP) ? Self.group(answer) : nil
        utilityString = try Self.bytes(answer, CVFIO_DEVICE_INFO_CAP_ZPCI_UTIL)
        path = try Self.bytes(answer, CVFIO_DEVICE_INFO_CAP_ZPCI_PFIP)
        if base == nil, group == nil, utilityString.isEmpty, path.isEmpty { return nil }
    }

    // Later versions of the capabilities have more members, so they are read one by one.

    private static func base(_ answer: InfoAnswer<cvfio_device_info>, _ subject: String) throws(VFIOError) -> Base {
        func member<Member: BitwiseCopyable>(_ offset: Int) throws(VFIOError) -> Member {
            try answer.member(of: CVFIO_DEVICE_INFO_CAP_ZPCI_BASE, "zPCI base", at: offset)
        }
        let version: UInt16 = try member(2)
        let (first, last): (UInt64, UInt64) = (try member(8), try member(16))
        guard first <= last else {
            throw VFIOError(
                .unexpectedAnswer, "read what the device is", subject,
                hint: "its DMA addresses begin at \(first.hexadecimal) and end at \(last.hexadecimal)")
        }
        return Base(
            dmaRange: first...last, channel: try member(24), virtualFunction: try member(26),
            measurementByteCount: try member(28), functionType: try member(30), group: try member(31),
            handle: version >= 2 ? try? member(32) : nil,
            errorByteCount: version >= 3 ? (try? member(36) as UInt32).map(Int.init) : nil)
    }

    private static func group(_ answer: InfoAnswer<cvfio_device_info>) throws(VFIOError) -> Group {
        func member<Member: BitwiseCopyable>(_ offset: Int) throws(VFIOError) -> Member {
            try answer.member(of: CVFIO_DEVICE_INFO_CAP_ZPCI_GROUP, "zPCI group", at: offset)
        }
        let version: UInt16 = try member(2)
        let flags: UInt64 = try member(24)
        return Group(
            dmaMask: try member(8), messageAddress: try member(16),
            needsRefresh: flags & CVFIO_DEVICE_INFO_ZPCI_FLAG_REFRESH != 0, measurementInterval: try member(32),
            interruptCount: try member(34), longestStore: try member(36), version: try member(38),
            longestInterpretedStore: version >= 2 ? try? member(40) : nil)
    }

    private static func bytes(_ answer: InfoAnswer<cvfio_device_info>, _ id: UInt16) throws(VFIOError) -> [UInt8] {
        guard answer.has(id) else { return [] }
        let count: UInt32 = try answer.member(of: id, "zPCI text", at: 8)
        return try answer.elements(of: id, "zPCI text", at: 12, count: Int(count))
    }
}
