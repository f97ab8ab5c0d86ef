public import VFIO

/// The description of a PCI function: identity, BARs, interrupts, capabilities.
public struct MockPCIFunction: Sendable, Hashable {
    /// A base address register and its contents.
    public struct BAR: Sendable, Hashable {
        /// The contents of a BAR.
        public enum Kind: Sendable, Hashable {
            /// Registers: each access calls the model, and the region cannot be mapped.
            case registers
            /// Plain memory, which can be mapped.
            case memory
        }

        public var kind: Kind
        /// The size in bytes, a power of two: 16 or more on a PCI bus, 8 or more on a mediated device.
        public var byteCount: Int
        /// Whether it is 64-bit: it takes two BARs.
        public var is64Bit: Bool
        public var isPrefetchable: Bool

        public init(_ kind: Kind, _ byteCount: Int, is64Bit: Bool = false, isPrefetchable: Bool = false) {
            precondition(byteCount >= 8 && byteCount & (byteCount - 1) == 0, "a BAR's size is a power of two from 8")
            self.kind = kind
            self.byteCount = byteCount
            self.is64Bit = is64Bit
            self.isPrefetchable = isPrefetchable
        }

        /// Registers with side effects, in a 32-bit BAR.
        public static func registers(_ byteCount: Int) -> BAR { BAR(.registers, byteCount) }

        /// Memory, in a 64-bit prefetchable BAR.
        public static func memory(_ byteCount: Int) -> BAR {
            BAR(.memory, byteCount, is64Bit: true, isPrefetchable: true)
        }
    }

    /// MSI-X: the number of vectors, and the place of its table and pending bits.
    public struct MSIX: Sendable, Hashable {
        /// The number of vectors, 1 to 2048.
        public var vectors: Int
        /// The BAR of the table and the pending bits.
        public var bar: Int
        /// The offset of the table in bytes.
        public var tableOffset: Int
        /// The offset of the pending bits in bytes.
        public var pendingOffset: Int

        public init(vectors: Int, bar: Int, tableOffset: Int, pendingOffset: Int) {
            precondition((1...2048).contains(vectors), "MSI-X has 1 to 2048 vectors")
            self.vectors = vectors
            self.bar = bar
            self.tableOffset = tableOffset
            self.pendingOffset = pendingOffset
        }

        var table: Range<Int> { tableOffset..<tableOffset + vectors * 16 }
    }

    /// An extended capability. It is read-only.
    public struct ExtendedCapability: Sendable, Hashable {
        public var id: UInt16
        /// 0 to 15.
        public var version: UInt8
        /// The bytes after the 4-byte header.
        public var bytes: [UInt8]

        public init(id: UInt16, version: UInt8 = 1, bytes: [UInt8]) {
            precondition(id != 0 && version < 16, "an extended capability has an id from 1, and a version up to 15")
            self.id = id
            self.version = version
            self.bytes = bytes
        }
    }

    /// A region of registers after the fixed ones, whose type identifies its contents.
    public struct TypedRegion: Sendable, Hashable {
        public var type: RegionInfo.TypeID
        /// The size in bytes.
        public var byteCount: Int

        public init(_ type: RegionInfo.TypeID, _ byteCount: Int) {
            precondition(byteCount > 0, "a region has at least one byte")
            self.type = type
            self.byteCount = byteCount
        }
    }

    public var vendor: UInt16
    public var device: UInt16
    public var subsystemVendor: UInt16
    public var subsystem: UInt16
    /// Base class, subclass and programming interface: 24 bits.
    public var classCode: UInt32
    public var revision: UInt8
    /// By number, 0 to 5. A 64-bit BAR takes the next number too.
    public var bars: [Int: BAR]
    /// The regions from number 9 on. An access calls the model, with the region's number as the BAR.
    public var typedRegions: [TypedRegion]
    /// Whether it has the interrupt pin INTA.
    public var hasINTx: Bool
    /// The number of MSI vectors: 0, or a power of two up to 32.
    public var msiVectors: Int
    public var msix: MSIX?
    /// Whether it is a PCI Express endpoint with 4096 bytes of config space, rather than 256.
    public var isExpress: Bool
    /// Whether it has function level reset, which requires PCI Express.
    public var hasFunctionLevelReset: Bool
    /// Whether it has the power management capability: D0 and D3hot, without a reset on the transition back.
    public var hasPowerManagement: Bool

    /// The vendor-specific capabilities, each without the bytes of its number and link; its first byte is the length of
    /// the whole capability. They are read-only, and last in the list, in this order.
    public var vendorCapabilities: [[UInt8]]
    /// The extended capabilities in order; they require PCI Express. The mock adds that of SR-IOV: see
    /// ``SingleRootIOVDevice``.
    public var extendedCapabilities: [ExtendedCapability]

    public init(
        vendor: UInt16,
        device: UInt16,
        subsystemVendor: UInt16 = 0x1af4,
        subsystem: UInt16 = 0x1100,
        classCode: UInt32 = 0x00ff00,
        revision: UInt8 = 0,
        bars: [Int: BAR] = [:],
        hasINTx: Bool = false,
        msiVectors: Int = 0,
        msix: MSIX? = nil,
        isExpress: Bool = false,
        hasFunctionLevelReset: Bool = false,
        hasPowerManagement: Bool = false,
        vendorCapabilities: [[UInt8]] = [],
        extendedCapabilities: [ExtendedCapability] = [],
        typedRegions: [TypedRegion] = []
    ) {
        precondition(bars.keys.allSatisfy((0...5).contains), "BARs are numbered 0 to 5")
        precondition(
            bars.allSatisfy { !$1.is64Bit || ($0 < 5 && bars[$0 + 1] == nil) }, "a 64-bit BAR takes two numbers")
        precondition([0, 1, 2, 4, 8, 16, 32].contains(msiVectors), "MSI has 1, 2, 4, 8, 16 or 32 vectors")
        precondition(!hasFunctionLevelReset || isExpress, "function level reset needs PCI Express")
        precondition(
            vendorCapabilities.allSatisfy { $0.first.map(Int.init) == $0.count + 2 },
            "a vendor's capability begins with its length, which is that of all of it")
        precondition(classCode <= 0xff_ffff, "a class code has 24 bits")
        self.vendor = vendor
        self.device = device
        self.subsystemVendor = subsystemVendor
        self.subsystem = subsystem
        self.classCode = classCode
        self.revision = revision
        self.bars = bars
        self.typedRegions = typedRegions
        self.hasINTx = hasINTx
        self.msiVectors = msiVectors
        self.msix = msix
        self.isExpress = isExpress
        self.hasFunctionLevelReset = hasFunctionLevelReset
        self.hasPowerManagement = hasPowerManagement
        self.vendorCapabilities = vendorCapabilities
        self.extendedCapabilities = extendedCapabilities
    }
}
