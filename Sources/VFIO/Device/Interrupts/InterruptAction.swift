internal import CVFIO

/// What `VFIO_DEVICE_SET_IRQS` does to a vector that is on.
enum InterruptAction: String, CustomStringConvertible {
    case mask, unmask, trigger

    var flag: UInt32 {
        switch self {
        case .mask: CVFIO_IRQ_SET_ACTION_MASK
        case .unmask: CVFIO_IRQ_SET_ACTION_UNMASK
        case .trigger: CVFIO_IRQ_SET_ACTION_TRIGGER
        }
    }

    var description: String { rawValue }
}
