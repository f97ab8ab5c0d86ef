internal import CVFIO
import SystemPackage
import VFIO

extension DeviceFile {
    /// The requests that mtty answers unlike vfio-pci; `nil` for the others.
    func mediatedControl(_ request: UInt, _ argument: Argument) throws(Errno) -> Int? {
        if let display = function.model as? any DisplayDevice {
            return try displayControl(display, request, argument)
        }
        switch request {
        case CVFIO_DEVICE_GET_REGION_INFO:
            var info = try argument.loadSized(cvfio_region_info())
            if info.index >= CVFIO_PCI_NUM_REGIONS { throw .invalidArgument }
            info.flags = CVFIO_REGION_INFO_FLAG_READ | CVFIO_REGION_INFO_FLAG_WRITE
            info.size =
                info.index == CVFIO_PCI_CONFIG_REGION_INDEX
                ? UInt64(function.config.byteCount) : function.barSize(Int(info.index))
            info.offset = Self.offset(of: info.index)
            try argument.store(info)
            return 0
        case CVFIO_DEVICE_GET_IRQ_INFO, CVFIO_DEVICE_SET_IRQS:
            let index = try argument.load(cvfio_irq_info()).index
            if index == CVFIO_PCI_INTX_IRQ_INDEX || index == CVFIO_PCI_MSI_IRQ_INDEX { return nil }
            throw request == CVFIO_DEVICE_GET_IRQ_INFO ? .invalidArgument : .inappropriateIOCTLForDevice
        case CVFIO_DEVICE_RESET:
            function.migration?.reset()
            return 0
        case CVFIO_DEVICE_GET_INFO, CVFIO_DEVICE_FEATURE: return nil
        default: throw .inappropriateIOCTLForDevice
        }
    }
}
