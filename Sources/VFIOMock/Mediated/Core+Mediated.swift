internal import CVFIO
import SystemPackage
import VFIO

extension Core {
    func mediatedFunction(_ uuid: DeviceUUID) -> PCIFunction? {
        functions.values.first { $0.mediated?.uuid == uuid }
    }

    /// A write to the `create` file of a type.
    func createMediated(_ text: String, _ parent: MediatedParent, _ type: String) throws(Errno) {
        guard let uuid = DeviceUUID(text), let make = parent.types[type] else { throw .invalidArgument }
        if mediatedFunction(uuid) != nil { throw .fileExists }
        if parent.available == 0 { throw .noSpace }
        // The mock keeps its devices by PCI address; mediated ones are in a domain that no sysfs shows.
        var slot: UInt8 = 0
        while functions[Self.hiddenAddress(slot)] != nil { slot += 1 }
        let address = Self.hiddenAddress(slot)
        let model = make()
        let function = try PCIFunction(model, at: address, group: nextGroupNumber, nativeDriver: nil)
        function.mediated = MediatedName(uuid: uuid, parent: parent)
        add(function)
        parent.available -= 1
        setDriver(function, "vfio-pci")
        function.call(self) { (model, bus) in model.start(bus: bus) }
    }

    private static func hiddenAddress(_ slot: UInt8) -> PCIAddress {
        PCIAddress(domain: .max, bus: slot, device: 0, function: 0)!
    }

    /// A write to the `remove` file of a mediated device.
    ///
    /// - Returns: Whether it is gone; while a process has it open it is not.
    func removeMediated(_ function: PCIFunction) -> Bool {
        if isHeld(function) {
            function.interrupts.request?.signal()
            return false
        }
        remove(function)
        function.mediated?.parent.available += 1
        return true
    }

    /// What mtty answers, where that differs from vfio-pci.
    ///
    /// - Returns: `nil` for requests that are answered like vfio-pci's.
    func mediatedControl(_ function: PCIFunction, _ request: UInt, _ argument: Argument) throws(Errno) -> Int? {
        if let display = function.model as? any DisplayDevice {
            return try displayControl(function, display, request, argument)
        }
        switch request {
        case CVFIO_DEVICE_GET_REGION_INFO:
            var info = try argument.load(cvfio_region_info())
            if Int(info.argsz) < MemoryLayout<cvfio_region_info>.size || info.index >= CVFIO_PCI_NUM_REGIONS {
                throw .invalidArgument
            }
            info.flags = CVFIO_REGION_INFO_FLAG_READ | CVFIO_REGION_INFO_FLAG_WRITE
            info.size =
                info.index == CVFIO_PCI_CONFIG_REGION_INDEX
                ? UInt64(function.config.byteCount) : function.barSize(Int(info.index))
            info.offset = UInt64(info.index) << 40
            try argument.store(info)
            return 0
        case CVFIO_DEVICE_GET_IRQ_INFO, CVFIO_DEVICE_SET_IRQS:
            let index = try argument.load(cvfio_irq_info()).index
            let isThere = index == CVFIO_PCI_INTX_IRQ_INDEX || index == CVFIO_PCI_MSI_IRQ_INDEX
            if isThere { return nil }
            throw request == CVFIO_DEVICE_GET_IRQ_INFO ? .invalidArgument : .inappropriateIOCTLForDevice
        case CVFIO_DEVICE_RESET:
            function.migration?.end()
            return 0
        case CVFIO_DEVICE_GET_INFO, CVFIO_DEVICE_FEATURE: return nil
        default: throw .inappropriateIOCTLForDevice
        }
    }
}
