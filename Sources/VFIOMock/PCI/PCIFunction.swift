internal import CVFIO
import SystemPackage
import VFIO

/// A device in its slot: the hardware, its driver, and vfio-pci's state while it is open.
final class PCIFunction: DMADevice, DeviceSlot, MigratingDevice {
    unowned let bus: SystemBus
    let address: PCIAddress
    let pci: MockPCIFunction
    let groupNumber: Int
    let barAddresses: [Int: UInt64]
    /// The memory of the BARs of the kind `memory`.
    let memory: [Int: MemoryObject]
    var model: any MockDevice
    let mediated: MediatedName?
    private(set) var migration: MigrationControl?
    /// The physical function of a virtual one.
    private(set) weak var physical: PCIFunction?
    let virtualFunctions: VirtualFunctions?
    /// Whether a call of the model is in progress; another device's DMA into its registers is not answered then.
    var isBusy = false
    private var isINTxAsserted = false

    // The hardware, and vfio-pci's view of it.
    var config: ConfigSpace
    private var savedHardware: [UInt8] = []

    /// Whether an IOMMU translates its DMA. Otherwise its DMA uses physical addresses, and VFIO creates its group while
    /// it is bound.
    let hasIOMMU: Bool

    // Drivers.
    var driver: String?
    var driverOverride: String?
    /// The driver that binds the device by default.
    let nativeDriver: String?
    /// N of `/dev/vfio/devices/vfioN` while bound to vfio-pci.
    var nodeNumber: Int?

    // vfio-pci's state.
    /// Open files with access to the device.
    var openCount = 0
    /// Open files, including device nodes that are not bound to an iommufd.
    var fileCount = 0
    var isOpenByNode = false
    /// Whether it is to be removed, and only waits until its last file closes.
    var isUnplugged = false
    /// Whether it can be reset alone. Determined when it is opened, as vfio-pci does.
    var hasReset = false
    let interrupts = Interrupts()
    private(set) var exports: [ObjectIdentifier: DMABuf] = [:]
    var isInLowPower = false
    /// What was written to `power/control`.
    var powerControl = "on"
    var lowPowerWake: EventDescriptor?
    var eventWrites: [EventWrite] = []
    /// The framebuffers of a virtual GPU since it was opened; their numbers begin at 1.
    var pictures: [MockPicture] = []
    /// The page table of its DMA.
    var space: (any TranslationSpace)?
    var boundDevice: IOMMUFDDevice?

    init(
        _ model: any MockDevice, at address: PCIAddress, group: Int, on bus: SystemBus, nativeDriver: String? = nil,
        physical: PCIFunction? = nil, mediated: MediatedName? = nil, hasIOMMU: Bool = true
    ) throws(Errno) {
        self.model = model
        self.address = address
        self.bus = bus
        self.mediated = mediated
        self.hasIOMMU = hasIOMMU
        groupNumber = group
        pci = model.pci
        barAddresses = mediated == nil ? bus.placeBARs(pci) : [:]
        self.nativeDriver = nativeDriver
        self.physical = physical
        var place = ConfigSpace.Place(isBehindPort: address.bus != 0, isVirtual: physical != nil)
        if let device = model as? any SingleRootIOVDevice {
            place.virtualFunctions = (device.virtualFunctionLimit, device.makeVirtualFunction(0).pci)
        }
        virtualFunctions = place.virtualFunctions.map { VirtualFunctions(limit: $0.limit) }
        config = ConfigSpace(pci, barAddresses: barAddresses, place)
        var memory: [Int: MemoryObject] = [:]
        for (number, bar) in pci.bars where bar.kind == .memory {
            memory[number] = try MemoryObject(
                name: "vfio-mock-bar", byteCount: max(bar.byteCount, HostKernel().pageSize))
        }
        self.memory = memory
        if model is any MigratableDevice { migration = MigrationControl(of: self) }
    }

    var isMediated: Bool { mediated != nil }

    var deviceAddress: DeviceAddress { mediated.map { .mediated($0.uuid) } ?? .pci(address) }

    /// Its name in the kernel.
    var name: String { deviceAddress.description }

    /// The devices of the root bus cannot be reset by their bus.
    var isOnRootBus: Bool { address.bus == 0 }

    func barSize(_ bar: Int) -> UInt64 { UInt64(pci.bars[bar]?.byteCount ?? 0) }

    /// The number of regions: the fixed ones and its typed ones.
    var regionCount: UInt32 { CVFIO_PCI_NUM_REGIONS + UInt32(pci.typedRegions.count) }

    /// A region after the fixed ones.
    private func typedRegion(_ index: Int) -> MockPCIFunction.TypedRegion? {
        let number = index - Int(CVFIO_PCI_NUM_REGIONS)
        return pci.typedRegions.indices.contains(number) ? pci.typedRegions[number] : nil
    }

    func regionSize(_ index: Int) -> UInt64 { typedRegion(index).map { UInt64($0.byteCount) } ?? barSize(index) }

    /// The type capability of a typed region; empty for others.
    func typeCapability(of index: UInt32) -> CapabilityChain {
        var chain = CapabilityChain()
        if let region = typedRegion(Int(index)) {
            chain.append(
                id: CVFIO_REGION_INFO_CAP_TYPE,
                body: CapabilityChain.bytes([region.type.type, region.type.subtype]))
        }
        return chain
    }

    func isMappable(_ bar: Int) -> Bool { memory[bar] != nil }

    // MARK: Open and close

    /// Whether the function can be reset alone: by its own reset, or by its bus when it is alone there.
    var canReset: Bool {
        if pci.hasFunctionLevelReset { return true }
        return !isMediated && !isOnRootBus && bus.functions(onBusOf: self).count == 1
    }

    func open() {
        openCount += 1
        if openCount > 1 { return }
        hasReset = canReset
        physical?.virtualFunctions?.userCount += 1
        config.powerState = 0
        config.hardwareCommand &= ~ConfigSpace.Command.busMaster
        if hasReset { reset() }
        savedHardware = config.hardware
        config.open()
        interrupts.reset()
        interrupts.isDisabledByCommand = false
        isInLowPower = false
    }

    func close() {
        openCount -= 1
        if openCount > 0 { return }
        for export in exports.values { export.exporterWasClosed() }
        exports = [:]
        physical?.virtualFunctions?.userCount -= 1
        config.powerState = 0
        config.hardwareCommand &= ~ConfigSpace.Command.busMaster
        disableInterrupts()
        migration?.closeFiles()
        interrupts.isDisabledByCommand = false
        interrupts.error = nil
        interrupts.request = nil
        eventWrites = []
        updateWatching()
        pictures = []
        isInLowPower = false
        lowPowerWake = nil
        config.hardware = savedHardware
        if hasReset { reset() }
    }

    /// Resets the function. The kernel saves config space before and restores it after.
    func reset() {
        config.powerState = 0
        isINTxAsserted = false
        config.setInterruptStatus(false)
        call { (model, bus) in model.reset(bus: bus) }
    }

    func disableInterrupts() {
        interrupts.reset()
        updateWatching()
        config.setMSIXEnabled(false)
    }

    // MARK: Registers

    /// Calls the model unless a call of it is in progress, and returns whether it was called.
    // Not inlined: Swift 6.3.1 crashes on it in release builds ("cannot initialize a noncopyable type").
    @discardableResult @inline(never)
    func call(_ body: (inout any MockDevice, borrowing MockBus) -> Void) -> Bool {
        guard !isBusy else { return false }
        isBusy = true
        defer { isBusy = false }
        body(&model, MockBus(self))
        return true
    }

    /// A load of 1, 2, 4 or 8 bytes from a BAR.
    func load(bar: Int, offset: UInt64, width: Int) -> UInt64 {
        guard config.isAnswering else { return .max }
        if let memory = memory[bar] {
            var value: UInt64 = 0
            unsafe withUnsafeMutableBytes(of: &value) {
                unsafe memory.read(at: Int(offset), into: UnsafeMutableRawBufferPointer(rebasing: $0[..<width]))
            }
            return value
        }
        var value = UInt64.max
        call { (model, bus) in value = model.read(bar: bar, at: offset, width: width, bus: bus) }
        return value
    }

    /// A store of 1, 2, 4 or 8 bytes to a BAR.
    func store(bar: Int, offset: UInt64, width: Int, _ value: UInt64) {
        guard config.isAnswering else { return }
        if let memory = memory[bar] {
            unsafe withUnsafeBytes(of: value) {
                unsafe memory.write(at: Int(offset), from: UnsafeRawBufferPointer(rebasing: $0[..<width]))
            }
            return
        }
        let value = width == 8 ? value : value & (1 << UInt64(width * 8) - 1)
        call { (model, bus) in model.write(value, bar: bar, at: offset, width: width, bus: bus) }
    }

    // MARK: INTx

    func setINTx(_ isAsserted: Bool) {
        isINTxAsserted = isAsserted
        config.setInterruptStatus(isAsserted)
        deliverINTx()
    }

    /// Signals INTx if it is asserted and not masked; that masks it.
    func deliverINTx() {
        guard isINTxAsserted, interrupts.kind == .intx, !interrupts.isMasked else { return }
        interrupts.isMasked = true
        if !interrupts.isDisabledByCommand { interrupts.signal(0) }
    }

    func unmaskINTx() {
        guard interrupts.kind == .intx, interrupts.isMasked, !interrupts.isDisabledByCommand else { return }
        if isINTxAsserted { interrupts.signal(0) } else { interrupts.isMasked = false }
    }

    func maskINTx() {
        if interrupts.kind == .intx { interrupts.isMasked = true }
    }

    // MARK: Error and request interrupts

    func reportError() { interrupts.error?.signal() }

    func requestRelease() { interrupts.requestRelease() }

    // MARK: Message signalled interrupts

    var isMSIEnabled: Bool { interrupts.kind == .msi }
    var isMSIXEnabled: Bool { interrupts.kind == .msix }

    /// A mediated device's message is not a memory write.
    func raiseMSI(_ vector: Int) { if isMSIEnabled && (isBusMaster || isMediated) { interrupts.signal(vector) } }

    func raiseMSIX(_ vector: Int) { if isMSIXEnabled && isBusMaster { interrupts.signal(vector) } }
}

// MARK: dma-bufs

extension PCIFunction: DMABufExporter {
    func addExport(_ buffer: DMABuf) { exports[ObjectIdentifier(buffer)] = buffer }

    func exportWasReleased(_ buffer: DMABuf) { exports[ObjectIdentifier(buffer)] = nil }

    func moveExports(revoked: Bool) { for export in exports.values { export.move(revoked: revoked) } }
}

// MARK: Events that the kernel waits for

extension PCIFunction: EventWatcher {
    func updateWatching() { bus.core.setWatching(self, interrupts.unmask != nil || !eventWrites.isEmpty) }

    func serveEvents() {
        if let unmask = interrupts.unmask, unmask.take() > 0 { unmaskINTx() }
        for write in eventWrites where write.event.take() > 0 && config.isMemoryEnabled {
            store(bar: write.bar, offset: write.offset, width: write.width, write.value)
        }
    }
}
