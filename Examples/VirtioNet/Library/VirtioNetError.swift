public import VFIO

/// What went wrong with a virtio network device.
public enum VirtioNetError: Error, Sendable, Hashable {
    /// The library or the kernel refused.
    case vfio(VFIOError)
    /// The device is no modern virtio network device (1af4:1041); its identity is given.
    case notVirtioNet(vendor: UInt16, device: UInt16)
    /// A structure that the driver needs is in none of the device's capabilities.
    case missingStructure(VirtioStructure.Kind)
    /// A structure is too short, misaligned, or not inside of its BAR.
    case badStructure(VirtioStructure)
    /// The device lacks features that the driver cannot do without.
    case missingFeatures(VirtioFeatures)
    /// The device does its DMA past the IOMMU: it does not offer ``VirtioFeatures/accessPlatform``, so it would take an IOVA
    /// for a physical address.
    case bypassesIOMMU
    /// The device did not take the features that the driver chose.
    case featuresRefused(VirtioFeatures)
    /// The device's configuration does not stop changing while it is read.
    case configurationUnstable
    /// The device has not come out of its reset in time.
    case resetTimedOut
    /// The device has met an error, and does nothing more before it is reset.
    case needsReset
    /// The device has no queue of this number.
    case missingQueue(UInt16)
    /// The device's queue cannot have a size that is a power of two, as the specification wants.
    case badQueueSize(queue: UInt16, size: UInt16)
    /// The device has no vector to spare for the interrupt of a queue, or of changes (`nil`).
    case vectorRefused(queue: UInt16?)
    /// The port was made without interrupts, so it cannot wait for one.
    case noInterrupts
    /// The pool's memory is mapped into another address space than the device's.
    case poolInOtherSpace
    /// The device says that it has used more buffers than it has.
    case usedIndexJumped(queue: UInt16, from: UInt16, to: UInt16)
    /// The device says that it has used a buffer that it does not have.
    case unknownDescriptor(queue: UInt16, id: UInt32)
    /// The device says that it has written more into a buffer than there is room for, or less than a packet's header.
    case badLength(queue: UInt16, id: UInt32, length: UInt32)
}

extension VirtioNetError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .vfio(let error): "\(error)"
        case .notVirtioNet(let vendor, let device):
            "the device is \(Self.hexadecimal(vendor)):\(Self.hexadecimal(device)), and no virtio network device "
                + "(1af4:1041)"
        case .missingStructure(let kind): "the device has no \(kind) structure"
        case .badStructure(let structure): "the device's \(structure) cannot be right"
        case .missingFeatures(let features): "the device lacks \(features)"
        case .bypassesIOMMU:
            "the device does DMA past the IOMMU (it offers no ACCESS_PLATFORM; in QEMU, give it iommu_platform=on)"
        case .featuresRefused(let features): "the device refuses \(features)"
        case .configurationUnstable: "the device's configuration does not stop changing"
        case .resetTimedOut: "the device does not come out of its reset"
        case .needsReset: "the device has met an error and needs a reset"
        case .missingQueue(let queue): "the device has no queue \(queue)"
        case .badQueueSize(let queue, let size): "queue \(queue) cannot have \(size) entries"
        case .vectorRefused(let queue?): "the device has no interrupt vector for queue \(queue)"
        case .vectorRefused(nil): "the device has no interrupt vector for changes"
        case .noInterrupts: "the port was made without interrupts"
        case .poolInOtherSpace: "the pool is in another address space than the device"
        case .usedIndexJumped(let queue, let from, let to): "queue \(queue): the used index went from \(from) to \(to)"
        case .unknownDescriptor(let queue, let id): "queue \(queue): the device does not have the buffer \(id)"
        case .badLength(let queue, let id, let length): "queue \(queue): buffer \(id) cannot hold \(length) bytes"
        }
    }

    private static func hexadecimal(_ value: UInt16) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 4 - digits.count) + digits
    }
}

/// Runs code of the library's, and takes its errors for ours.
func rethrowing<Result: ~Copyable>(
    _ body: () throws(VFIOError) -> Result
) throws(VirtioNetError) -> Result {
    do throws(VFIOError) { return try body() } catch { throw .vfio(error) }
}
