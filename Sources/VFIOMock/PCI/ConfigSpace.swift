/// A function's config space: the hardware's bytes, and vfio-pci's virtual ones over them.
///
/// As in the kernel each byte has a mask of the virtual bits, and one of the writable bits. Writes to bits that are not
/// virtual go to the hardware, which has a mask of its own.
struct ConfigSpace {
    enum Register {
        static let command = 0x04
        static let status = 0x06
        static let bars = 0x10
        static let rom = 0x30
        static let capabilities = 0x34
        static let interruptLine = 0x3c
        static let interruptPin = 0x3d
    }

    enum Command {
        static let memory: UInt16 = 1 << 1
        static let busMaster: UInt16 = 1 << 2
        static let interruptDisable: UInt16 = 1 << 10
    }

    enum Capability {
        static let powerManagement: UInt8 = 0x01
        static let msi: UInt8 = 0x05
        static let vendor: UInt8 = 0x09
        static let express: UInt8 = 0x10
        static let msix: UInt8 = 0x11
        /// Any extended capability.
        static let extended: UInt8 = 0xfe
        /// Config space outside of capabilities.
        static let none: UInt8 = 0xff
        /// The standard header.
        static let header: UInt8 = 0
    }

    let byteCount: Int
    var hardware: [UInt8]
    /// Whether the hardware answers; otherwise it reads as ones.
    var isAnswering = true
    /// What a read of the hardware returns.
    var readableHardware: [UInt8] { isAnswering ? hardware : [UInt8](repeating: 0xff, count: byteCount) }
    /// The hardware's writable bits.
    private var hardwareMask: [UInt8]
    /// vfio-pci's virtual bytes while the device is open.
    private(set) var shadow: [UInt8]
    private var shadowMask: [UInt8]
    private var writeMask: [UInt8]
    /// The capability of each byte.
    private(set) var owner: [UInt8]
    private(set) var position: [UInt8: Int] = [:]
    private let pci: MockPCIFunction
    private let barAddresses: [Int: UInt64]
    private let place: Place
    /// The offset of the SR-IOV capability.
    private var virtualFunctions: Int?

    /// The function's place, as far as config space shows it.
    struct Place {
        /// Whether it is behind a port rather than on the root complex.
        var isBehindPort = false
        /// Whether it is a virtual function, whose memory decode is controlled by the physical one.
        var isVirtual = false
        /// The maximum number of virtual functions and their description.
        var virtualFunctions: (limit: Int, pci: MockPCIFunction)?
    }

    init(_ pci: MockPCIFunction, barAddresses: [Int: UInt64], _ place: Place = Place()) {
        self.pci = pci
        // A virtual function's addresses are in the physical one's SR-IOV capability, and its own BARs are zero.
        self.barAddresses = place.isVirtual ? [:] : barAddresses
        self.place = place
        byteCount = pci.isExpress ? 4096 : 256
        hardware = [UInt8](repeating: 0, count: byteCount)
        hardwareMask = hardware
        shadow = hardware
        shadowMask = hardware
        writeMask = hardware
        owner = [UInt8](repeating: Capability.none, count: byteCount)
        owner.replaceSubrange(0..<64, with: repeatElement(Capability.header, count: 64))
        setHeader()
        setCapabilities()
        setExtendedCapabilities()
    }

    // MARK: Access to both kinds of bytes

    static func load(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> UInt32 {
        UInt32(bytes.integer(at: offset, count))
    }

    static func store(_ bytes: inout [UInt8], _ offset: Int, _ count: Int, _ value: UInt32) {
        bytes.set(offset, value, count)
    }

    var hardwareCommand: UInt16 {
        get { UInt16(Self.load(hardware, Register.command, 2)) }
        set { Self.store(&hardware, Register.command, 2, UInt32(newValue)) }
    }

    var shadowCommand: UInt16 {
        get { UInt16(Self.load(shadow, Register.command, 2)) }
        set { Self.store(&shadow, Register.command, 2, UInt32(newValue)) }
    }

    var isBusMaster: Bool { hardwareCommand & Command.busMaster != 0 }

    /// 0 to 3, for D0 to D3hot.
    var powerState: UInt8 {
        get { position[Capability.powerManagement].map { hardware[$0 + 4] & 3 } ?? 0 }
        set {
            guard let position = position[Capability.powerManagement] else { return }
            hardware[position + 4] = hardware[position + 4] & ~3 | newValue
        }
    }

    /// Whether the device answers accesses to its BARs.
    var respondsToMemory: Bool {
        isAnswering && (place.isVirtual || hardwareCommand & Command.memory != 0) && powerState < 3
    }

    /// Whether vfio-pci allows access to the BARs, by its copy of the command register.
    var isMemoryEnabled: Bool { (place.isVirtual || shadowCommand & Command.memory != 0) && powerState < 3 }

    mutating func setInterruptStatus(_ isAsserted: Bool) {
        hardware[Register.status] = hardware[Register.status] & ~8 | (isAsserted ? 8 : 0)
    }

    mutating func setMSIXEnabled(_ isEnabled: Bool) {
        guard let position = position[Capability.msix] else { return }
        hardware[position + 3] = hardware[position + 3] & 0x7f | (isEnabled ? 0x80 : 0)
    }

    // MARK: Hardware

    private mutating func setHeader() {
        hardware.set(0x00, pci.vendor)
        hardware.set(0x02, pci.device)
        // Firmware leaves I/O and memory decode and error reporting on.
        hardwareCommand = 0x0103
        hardware[0x08] = pci.revision
        hardware.set(0x09, pci.classCode, 3)
        for (bar, address) in barAddresses {
            let byteCount = pci.bars[bar]?.is64Bit == true ? 8 : 4
            hardware.set(Register.bars + bar * 4, address | UInt64(barFlags(bar)), byteCount)
        }
        hardware.set(0x2c, pci.subsystemVendor)
        hardware.set(0x2e, pci.subsystem)
        if pci.hasINTx {
            hardware[Register.interruptLine] = 0x0b
            hardware[Register.interruptPin] = 1
        }
        // I/O, memory, bus master, error reporting, interrupt disable.
        Self.store(&hardwareMask, Register.command, 2, 0x0507)
        hardwareMask[0x0c] = 0xff
        hardwareMask[Register.interruptLine] = 0xff
        if place.isVirtual {
            Self.store(&hardware, 0x00, 4, .max)
            hardwareCommand = 0
            // Bus master only.
            Self.store(&hardwareMask, Register.command, 2, UInt32(Command.busMaster))
        }
    }

    private func barFlags(_ bar: Int) -> UInt32 {
        guard let description = pci.bars[bar] else { return 0 }
        return (description.is64Bit ? 4 : 0) | (description.isPrefetchable ? 8 : 0)
    }

    private mutating func setCapabilities() {
        var chain: [(id: UInt8, at: Int, bytes: [UInt8])] = []
        var next = 0x40
        if let msix = pci.msix {
            var bytes = [UInt8](repeating: 0, count: 12)
            bytes.set(2, UInt16(msix.vectors - 1))
            bytes.set(4, UInt32(msix.tableOffset | msix.bar))
            bytes.set(8, UInt32(msix.pendingOffset | msix.bar))
            chain.append((Capability.msix, next, bytes))
            next += 0x10
        }
        if pci.msiVectors > 0 {
            var bytes = [UInt8](repeating: 0, count: 14)
            // 64-bit addresses, and the logarithm of the number of vectors.
            Self.store(&bytes, 2, 2, 0x80 | UInt32(pci.msiVectors.trailingZeroBitCount) << 1)
            chain.append((Capability.msi, next, bytes))
        }
        if pci.isExpress {
            var bytes = [UInt8](repeating: 0, count: 0x2c)
            // Version 2, an endpoint; integrated in the root complex, as all devices on QEMU's root bus are.
            Self.store(&bytes, 2, 2, place.isBehindPort ? 0x02 : 0x92)
            Self.store(&bytes, 4, 4, 0x8000 | (pci.hasFunctionLevelReset ? 1 << 28 : 0))
            Self.store(&bytes, 0x0c, 4, 0x411)
            Self.store(&bytes, 0x12, 2, 0x11)
            Self.store(&bytes, 0x24, 4, 0x30_0000)
            chain.append((Capability.express, 0x80, bytes))
        }
        if pci.hasPowerManagement {
            // Version 1.2; no soft reset on the way from D3hot to D0.
            chain.append((Capability.powerManagement, 0x60, [0, 0, 0x03, 0x00, 0x08, 0, 0, 0]))
        }
        for capability in pci.vendorCapabilities {
            // The number and the link precede the bytes.
            let bytes = [0, 0] + capability
            let taken = chain.map { $0.at..<$0.at + $0.bytes.count }
            guard
                let at = stride(from: 0x40, through: 0x100 - bytes.count, by: 4).first(where: { at in
                    !taken.contains { $0.overlaps(at..<at + bytes.count) }
                })
            else { preconditionFailure("the capabilities do not fit") }
            chain.append((Capability.vendor, at, bytes))
        }
        var link = Register.capabilities
        for (id, at, bytes) in chain {
            hardware[link] = UInt8(at)
            hardware.replaceSubrange(at..<at + bytes.count, with: bytes)
            hardware[at] = id
            // There can be several vendor-specific ones, which the kernel does not virtualize.
            if id != Capability.vendor { position[id] = at }
            owner.replaceSubrange(at..<at + bytes.count, with: repeatElement(id, count: bytes.count))
            link = at + 1
        }
        if !chain.isEmpty { hardware[Register.status] |= 0x10 }
        if let express = position[Capability.express] {
            // Error reporting, relaxed ordering, no snoop, read request size.
            Self.store(&hardwareMask, express + 8, 2, 0x781f)
        }
    }

    private mutating func setExtendedCapabilities() {
        var list = pci.extendedCapabilities
        if let (limit, virtual) = place.virtualFunctions {
            var bytes = [UInt8](repeating: 0, count: 0x3c)
            func set(_ offset: Int, _ count: Int, _ value: UInt32) { Self.store(&bytes, offset - 4, count, value) }
            set(0x08, 2, 0x10)
            set(0x0c, 2, UInt32(limit))
            set(0x0e, 2, UInt32(limit))
            // The first virtual function is the next function, and so on.
            set(0x14, 2, 1)
            set(0x16, 2, 1)
            set(0x1a, 2, UInt32(virtual.device))
            set(0x1c, 4, 0x553)
            set(0x20, 4, 1)
            list.append(.init(id: 0x10, bytes: bytes))
        }
        precondition(list.isEmpty || pci.isExpress, "extended capabilities need PCI Express")
        var position = 0x100
        for (number, capability) in list.enumerated() {
            if capability.id == 0x10 { virtualFunctions = position }
            let end = position + 4 + capability.bytes.count
            // Aligned to 32 bytes, as in QEMU.
            let next = (end + 31) & ~31
            precondition(end <= byteCount, "the extended capabilities do not fit")
            let link = number == list.count - 1 ? 0 : next
            Self.store(
                &hardware, position, 4, UInt32(capability.id) | UInt32(capability.version) << 16 | UInt32(link) << 20)
            hardware.replaceSubrange(position + 4..<end, with: capability.bytes)
            owner.replaceSubrange(position..<end, with: repeatElement(Capability.extended, count: end - position))
            position = next
        }
    }

    mutating func setVirtualFunctions(_ count: Int) {
        guard let virtualFunctions else { return }
        // Enabled, with memory decode, and with routing ids that need no slots.
        Self.store(&hardware, virtualFunctions + 0x08, 2, count > 0 ? 0x19 : 0x10)
        Self.store(&hardware, virtualFunctions + 0x10, 2, UInt32(count))
    }

    // MARK: Virtual space

    /// Sets up the virtual space when the device is opened.
    mutating func open() {
        shadow = hardware
        shadowMask = [UInt8](repeating: 0, count: byteCount)
        writeMask = shadowMask
        func set(_ offset: Int, _ count: Int, shadow: UInt32, write: UInt32) {
            Self.store(&shadowMask, offset, count, shadow)
            Self.store(&writeMask, offset, count, write)
        }
        set(0x00, 4, shadow: .max, write: 0)
        set(Register.command, 2, shadow: UInt32(Command.interruptDisable), write: 0xffff)
        set(Register.status, 2, shadow: 0x10, write: 0)
        for byte in [0x0c, 0x0d, 0x0f] { set(byte, 1, shadow: 0, write: 0xff) }
        for bar in 0..<6 { set(Register.bars + bar * 4, 4, shadow: .max, write: .max) }
        set(Register.rom, 4, shadow: .max, write: .max)
        set(Register.capabilities, 1, shadow: 0xff, write: 0)
        set(Register.interruptLine, 1, shadow: 0xff, write: 0xff)
        set(Register.interruptPin, 1, shadow: 0xff, write: 0)
        if place.isVirtual {
            // The kernel fills in the IDs that a virtual function does not have.
            Self.store(&shadow, 0x00, 2, UInt32(pci.vendor))
            Self.store(&shadow, 0x02, 2, UInt32(pci.device))
            shadowCommand |= Command.memory
        }
        for (id, at) in position {
            // The ID and link of a capability are read-only.
            set(at, 2, shadow: 0xffff, write: 0)
            switch id {
            case Capability.powerManagement:
                set(at + 2, 2, shadow: 0xf800, write: 0)
                set(at + 4, 4, shadow: 0x8100, write: ~UInt32(0x8103))
                shadow[at + 3] &= 0x07
                Self.store(&shadow, at + 4, 2, Self.load(shadow, at + 4, 2) & ~0x8100)
            case Capability.msi:
                set(at + 2, 1, shadow: 0xff, write: 0xff)
                set(at + 4, 4, shadow: .max, write: .max)
                set(at + 8, 4, shadow: .max, write: .max)
                set(at + 12, 2, shadow: 0xffff, write: 0xffff)
                // The number of enabled vectors is set only when MSI is enabled.
                shadow[at + 2] &= ~0x0e
            case Capability.express:
                set(at + 8, 2, shadow: 0xf0e0, write: 0xfdff)
                set(at + 0x28, 2, shadow: 0, write: 0xffdf)
            default: break
            }
        }
    }

    /// The size of the kernel's next access: at most an aligned word inside one capability.
    func chunk(at offset: Int, upTo count: Int) -> Int {
        var remaining = 1
        while (offset + remaining) % 4 != 0, owner[offset + remaining] == owner[offset] { remaining += 1 }
        let count = min(count, remaining)
        if count >= 4 && offset % 4 == 0 { return 4 }
        return count >= 2 && offset % 2 == 0 ? 2 : 1
    }

    mutating func read(_ offset: Int, _ count: Int) -> UInt32 {
        let hardware = readableHardware
        if owner[offset] == Capability.none { return Self.load(hardware, offset, count) }
        if offset < 0x34, offset + count > Register.bars { fixBARs() }
        let mask = Self.load(shadowMask, offset, count)
        let value = Self.load(hardware, offset, count) & ~mask | Self.load(shadow, offset, count) & mask
        guard place.isVirtual, offset == Register.command else { return value }
        return value | UInt32(shadowCommand & Command.memory)
    }

    mutating func write(_ offset: Int, _ count: Int, _ value: UInt32) {
        if owner[offset] == Capability.none { return writeHardware(offset, count, value, mask: .max) }
        let write = Self.load(writeMask, offset, count)
        let virtual = Self.load(shadowMask, offset, count) & write
        if virtual != 0 {
            Self.store(&shadow, offset, count, Self.load(shadow, offset, count) & ~virtual | value & virtual)
        }
        writeHardware(offset, count, value, mask: write & ~virtual)
    }

    private mutating func writeHardware(_ offset: Int, _ count: Int, _ value: UInt32, mask: UInt32) {
        guard isAnswering else { return }
        let mask = mask & Self.load(hardwareMask, offset, count)
        Self.store(&hardware, offset, count, Self.load(hardware, offset, count) & ~mask | value & mask)
    }

    /// Clears the bits of the virtual BARs below their size, as hardware does, so that they can be sized.
    private mutating func fixBARs() {
        var bar = 0
        while bar < 6 {
            let offset = Register.bars + bar * 4
            guard let description = pci.bars[bar] else {
                Self.store(&shadow, offset, 4, 0)
                bar += 1
                continue
            }
            let mask = ~(UInt64(description.byteCount) - 1)
            let count = description.is64Bit ? 8 : 4
            shadow.set(offset, shadow.integer(at: offset, count) & mask | UInt64(barFlags(bar)), count)
            bar += count / 4
        }
        Self.store(&shadow, Register.rom, 4, 0)
    }

    mutating func clearShadow(_ offset: Int, mask: UInt8) { shadow[offset] &= ~mask }

    mutating func setShadow(_ offset: Int, _ value: UInt8) { shadow[offset] = value }
}
