internal import CVFIO

/// What s390 says of a PCI function, in the capabilities of `VFIO_DEVICE_GET_INFO` (`<linux/vfio_zdev.h>`).
public struct ZPCIInfo: Sendable, Hashable {
    /// The function itself (`VFIO_DEVICE_INFO_CAP_ZPCI_BASE`).
    public struct Base: Sendable, Hashable {
        /// The DMA addresses that the function can use.
        public let dmaRange: ClosedRange<UInt64>
        /// The physical channel.
        public let channel: UInt16
        /// The number of the virtual function.
        public let virtualFunction: UInt16
        /// The length of a block of measurements, in bytes.
        public let measurementByteCount: UInt16
        /// The type of the function.
        public let functionType: UInt8
        /// The group of the function.
        public let group: UInt8
        /// The function's handle; `nil` from older kernels.
        public let handle: UInt32?
        /// How many bytes an error report has; `nil` from older kernels.
        public let errorByteCount: Int?
    }

    /// What all functions of a group have in common (`VFIO_DEVICE_INFO_CAP_ZPCI_GROUP`).
    public struct Group: Sendable, Hashable {
        /// The DMA address space mask.
        public let dmaMask: UInt64
        /// Where messages for interrupts go.
        public let messageAddress: UInt64
        /// Whether refreshes of translations are needed (`VFIO_DEVICE_INFO_ZPCI_FLAG_REFRESH`).
        public let needsRefresh: Bool
        /// The interval of the measurements, in milliseconds.
        public let measurementInterval: UInt16
        /// How many interrupts a function has.
        public let interruptCount: UInt16
        /// The longest store, in bytes.
        public let longestStore: UInt16
        /// The version of the group.
        public let version: UInt8
        /// The longest store that goes through the interpreter, in bytes; `nil` from older kernels.
        public let longestInterpretedStore: UInt16?
    }

    public internal(set) var base: Base?
    public internal(set) var group: Group?
    /// A text of the owner's in EBCDIC (`VFIO_DEVICE_INFO_CAP_ZPCI_UTIL`); empty without one.
    public internal(set) var utilityString: [UInt8] = []
    /// Where the function hangs (`VFIO_DEVICE_INFO_CAP_ZPCI_PFIP`); empty without one.
    public internal(set) var path: [UInt8] = []

    init() {}

    var isEmpty: Bool { base == nil && group == nil && utilityString.isEmpty && path.isEmpty }

    /// Takes a capability in, if it is one of these.
    mutating func read(
        _ id: UInt16, _ answer: borrowing RequestBuffer, at offset: Int, subject: String
    ) throws(VFIOError) {
        switch id {
        case CVFIO_DEVICE_INFO_CAP_ZPCI_BASE: base = try Self.base(answer, at: offset, subject)
        case CVFIO_DEVICE_INFO_CAP_ZPCI_GROUP: group = try Self.group(answer, at: offset, subject)
        case CVFIO_DEVICE_INFO_CAP_ZPCI_UTIL: utilityString = try Self.bytes(answer, at: offset, subject)
        case CVFIO_DEVICE_INFO_CAP_ZPCI_PFIP: path = try Self.bytes(answer, at: offset, subject)
        // A newer kernel may tell more than this library knows of.
        default: break
        }
    }

    // The capabilities have grown with their versions, so they are read member by member.

    private static func base(
        _ answer: borrowing RequestBuffer, at offset: Int, _ subject: String
    ) throws(VFIOError) -> Base {
        guard let version = answer.load(UInt16.self, at: offset + 2),
            let first = answer.load(UInt64.self, at: offset + 8),
            let last = answer.load(UInt64.self, at: offset + 16),
            let channel = answer.load(UInt16.self, at: offset + 24),
            let function = answer.load(UInt16.self, at: offset + 26),
            let measurement = answer.load(UInt16.self, at: offset + 28),
            let type = answer.load(UInt8.self, at: offset + 30), let group = answer.load(UInt8.self, at: offset + 31)
        else { throw CapabilityChain.truncated("zPCI base", subject: subject) }
        guard first <= last else {
            throw VFIOError(
                .unexpectedAnswer, "read what the device is", subject,
                hint: "its DMA addresses begin at \(first.hexadecimal) and end at \(last.hexadecimal)")
        }
        let handle = version >= 2 ? answer.load(UInt32.self, at: offset + 32) : nil
        let errorByteCount = version >= 3 ? answer.load(UInt32.self, at: offset + 36) : nil
        return Base(
            dmaRange: first...last, channel: channel, virtualFunction: function, measurementByteCount: measurement,
            functionType: type, group: group, handle: handle, errorByteCount: errorByteCount.map(Int.init))
    }

    private static func group(
        _ answer: borrowing RequestBuffer, at offset: Int, _ subject: String
    ) throws(VFIOError) -> Group {
        guard let version = answer.load(UInt16.self, at: offset + 2),
            let mask = answer.load(UInt64.self, at: offset + 8),
            let messages = answer.load(UInt64.self, at: offset + 16),
            let flags = answer.load(UInt64.self, at: offset + 24),
            let interval = answer.load(UInt16.self, at: offset + 32),
            let interrupts = answer.load(UInt16.self, at: offset + 34),
            let longest = answer.load(UInt16.self, at: offset + 36),
            let groupVersion = answer.load(UInt8.self, at: offset + 38)
        else { throw CapabilityChain.truncated("zPCI group", subject: subject) }
        return Group(
            dmaMask: mask, messageAddress: messages, needsRefresh: flags & CVFIO_DEVICE_INFO_ZPCI_FLAG_REFRESH != 0,
            measurementInterval: interval, interruptCount: interrupts, longestStore: longest, version: groupVersion,
            longestInterpretedStore: version >= 2 ? answer.load(UInt16.self, at: offset + 40) : nil)
    }

    private static func bytes(
        _ answer: borrowing RequestBuffer, at offset: Int, _ subject: String
    ) throws(VFIOError) -> [UInt8] {
        let start = offset + 12
        guard let count = answer.load(UInt32.self, at: offset + 8), Int(count) <= answer.byteCount - start else {
            throw CapabilityChain.truncated("zPCI text", subject: subject)
        }
        return (0..<Int(count)).compactMap { answer.load(UInt8.self, at: start + $0) }
    }
}
