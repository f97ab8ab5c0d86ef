public import VFIO

/// An error of the driver or a virtio network device.
public enum VirtioNetError: Error, Sendable, Hashable {
    /// An error of the library or the kernel.
    case vfio(VFIOError)
    /// The device is no virtio network device (1af4:1041, or 1af4:1000 to 103f with subsystem 1); its identity is given.
    case notVirtioNet(vendor: UInt16, device: UInt16)
    /// The device has the interface from before virtio 1.0 only, whose DMA no IOMMU translates.
    case legacyOnly(device: UInt16)
    /// No capability of the device describes a required structure.
    case missingStructure(VirtioStructure.Kind)
    /// A structure is too short, misaligned, or not within its BAR.
    case badStructure(VirtioStructure)
    /// The device lacks required features.
    case missingFeatures(VirtioFeatures)
    /// The device's DMA would bypass the IOMMU: it does not offer ``VirtioFeatures/accessPlatform``, so it would use an
    /// IOVA as a physical address.
    case bypassesIOMMU
    /// The device did not accept the features that the driver chose.
    case featuresRefused(VirtioFeatures)
    /// The device's configuration kept changing while it was read.
    case configurationUnstable
    /// The device's reset did not complete in time.
    case resetTimedOut
    /// Neither the device's reset, nor the end of its DMA, nor a reset of the function succeeded: it may still access its
    /// queues and buffers, which are therefore never unmapped.
    case notStopped(String)
    /// The device has met an error, and does nothing until it is reset.
    case needsReset
    /// The device has no queue of this number.
    case missingQueue(UInt16)
    /// The device's queue cannot have a size that is a power of two, as the specification requires.
    case badQueueSize(queue: UInt16, size: UInt16)
    /// The device refused a vector for the interrupt of a queue, or of configuration changes (`nil`).
    case vectorRefused(queue: UInt16?)
    /// The port has no interrupts, so it cannot wait for one.
    case noInterrupts
    /// The pool's memory is mapped into another address space than the device's.
    case poolInOtherSpace
    /// The device reports more used buffers than it has.
    case usedIndexJumped(queue: UInt16, from: UInt16, to: UInt16)
    /// The device reports a used buffer that it does not have.
    case unknownDescriptor(queue: UInt16, id: UInt32)
    /// The device reports a length that exceeds the buffer, or is less than a packet's header.
    case badLength(queue: UInt16, id: UInt32, length: UInt32)
}

extension VirtioNetError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .vfio(let error): "\(error)"
        case .notVirtioNet(let vendor, let device):
            "the device is \(Self.hexadecimal(vendor)):\(Self.hexadecimal(device)), and no virtio network device "
                + "(1af4:1041)"
        case .legacyOnly(let device):
            "the device 1af4:\(Self.hexadecimal(device)) has no interface of virtio 1.0, and the earlier one does DMA past "
                + "the IOMMU (in QEMU, give it disable-legacy=on,iommu_platform=on)"
        case .missingStructure(let kind): "the device has no \(kind) structure"
        case .badStructure(let structure): "the device's \(structure) cannot be right"
        case .missingFeatures(let features): "the device lacks \(features)"
        case .bypassesIOMMU:
            "the device does DMA past the IOMMU (it offers no ACCESS_PLATFORM; in QEMU, give it iommu_platform=on)"
        case .featuresRefused(let features): "the device refuses \(features)"
        case .configurationUnstable: "the device's configuration does not stop changing"
        case .resetTimedOut: "the device does not come out of its reset"
        case .notStopped(let why):
            "the device could not be stopped, and may still reach for memory, which stays mapped: \(why)"
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

/// Runs a closure, and rethrows the library's errors as the driver's.
func rethrowing<Result: ~Copyable>(
    _ body: () throws(VFIOError) -> Result
) throws(VirtioNetError) -> Result {
    do throws(VFIOError) { return try body() } catch { throw .vfio(error) }
}
