internal import CVFIO
public import SystemPackage

/// An eventfd that the kernel turns into a write of a register, until the end of this value's life
/// (`VFIO_DEVICE_IOEVENTFD`).
///
/// So a doorbell that a virtual machine rings through KVM's ioeventfd reaches the device without a way through user space.
///
/// ```swift
/// let doorbell = try device.registerWriteEvent(UInt32(1), at: 0x1008, of: .bar0)
/// try doorbell.signal()
/// ```
/// While memory decode of the device is off, nothing is written.
public struct RegisterWriteEvent: ~Copyable, Sendable {
    private let event: OwnedDescriptor
    private let request: cvfio_device_ioeventfd
    private let lease: DeviceLease
    private var isOn = true
    /// The region that is written.
    public let region: RegionIndex

    init(
        _ event: consuming OwnedDescriptor, _ request: cvfio_device_ioeventfd, region: RegionIndex, lease: DeviceLease
    ) {
        self.event = event
        self.request = request
        self.region = region
        self.lease = lease
    }

    /// What is written.
    var value: UInt64 { request.data }
    /// The width of the register in bytes.
    var width: Int { Int(request.flags) }

    deinit {
        if isOn { try? lease.core.endRegisterWrite(request, of: region) }
    }

    /// The eventfd, for KVM or for another process. It stays the library's, and is closed with this value.
    public func withEvent<Result: ~Copyable, Failure: Error>(
        _ body: (FileDescriptor) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(event.descriptor)
    }

    /// Signals the event, so that the kernel writes the register.
    public func signal() throws(VFIOError) {
        let one: UInt64 = 1
        do throws(Errno) {
            _ = try unsafe withUnsafeBytes(of: one) { (bytes) throws(Errno) -> Int in
                try unsafe event.kernel.write(event.descriptor, from: bytes)
            }
        } catch {
            throw VFIOError(.kernel, "signal the event (write)", "\(region) of \(lease.core.address)", errno: error)
        }
    }

    /// Ends the writing and reports what the kernel said.
    public consuming func close() throws(VFIOError) {
        isOn = false
        try lease.core.endRegisterWrite(request, of: region)
    }
}

extension Device {
    /// Lets an event write a value to a register each time it is signalled (`VFIO_DEVICE_IOEVENTFD`).
    ///
    /// - Parameters:
    ///   - value: What is written, with the width of its type: 8, 16, 32, or 64 bits (not on every machine).
    ///   - offset: In bytes from the start of the region, a multiple of the width.
    ///   - index: A BAR.
    /// - Throws: `.notFound` without such a BAR, `.outOfRange`, `.misaligned`; `.busy` when the same value goes to the same
    ///   register by another event, `.limit` beyond a thousand events; the MSI-X table cannot be written so.
    public func registerWriteEvent<Value: FixedWidthInteger & UnsignedInteger>(
        _ value: Value, at offset: UInt64, of index: RegionIndex
    ) throws(VFIOError) -> RegisterWriteEvent {
        let operation = "let an event write a register (VFIO_DEVICE_IOEVENTFD)"
        let subject = "\(index) of \(address)"
        guard index.isBAR else {
            throw VFIOError(.notFound, operation, subject, hint: "only registers in a BAR can be written so")
        }
        let region = try core.existingRegion(index, for: operation)
        let width = UInt64(Value.bitWidth / 8)
        guard width == 1 || width == 2 || width == 4 || width == 8 else {
            throw VFIOError(.invalidArgument, operation, subject, hint: "a register has 8, 16, 32 or 64 bits")
        }
        guard offset <= region.byteCount, width <= region.byteCount - offset else {
            throw VFIOError(.outOfRange, operation, subject, hint: "it has \(region.byteCount) bytes")
        }
        guard offset.isAligned(to: width) else {
            throw VFIOError(.misaligned, operation, subject, hint: "the offset has to be a multiple of \(width)")
        }
        let event: OwnedDescriptor
        do throws(Errno) {
            event = OwnedDescriptor(try core.kernel.makeEvent(), of: core.kernel)
        } catch {
            throw VFIOError(.kernel, "make an event (eventfd)", subject, errno: error)
        }
        var request = cvfio_device_ioeventfd()
        request.argsz = UInt32(MemoryLayout<cvfio_device_ioeventfd>.size)
        request.flags = UInt32(width)
        request.offset = region.offset + offset
        request.data = UInt64(value)
        request.fd = event.descriptor.rawValue
        let lease = DeviceLease(core, for: .registerWrite(index))
        do throws(Errno) {
            var asked = request
            _ = try core.kernel.control(core.descriptor, CVFIO_DEVICE_IOEVENTFD, with: &asked)
        } catch {
            throw core.registerWriteRefusal(error, operation, subject)
        }
        return RegisterWriteEvent(event, request, region: index, lease: lease)
    }
}

extension DeviceCore {
    fileprivate func endRegisterWrite(
        _ request: cvfio_device_ioeventfd, of region: RegionIndex
    ) throws(VFIOError) {
        var request = request
        request.fd = -1
        do throws(Errno) {
            _ = try kernel.control(descriptor, CVFIO_DEVICE_IOEVENTFD, with: &request)
        } catch {
            throw VFIOError(
                .kernel, "end the writes of an event (VFIO_DEVICE_IOEVENTFD)", "\(region) of \(address)", errno: error)
        }
    }

    fileprivate func registerWriteRefusal(_ errno: Errno, _ operation: String, _ subject: String) -> VFIOError {
        switch errno {
        case .inappropriateIOCTLForDevice:
            VFIOError(.unsupported, operation, subject, errno: errno, hint: "the device's driver does not offer it")
        case .fileExists:
            VFIOError(
                .busy, operation, subject, errno: errno, hint: "another event writes this value to this register")
        case .noSpace:
            VFIOError(.limit, operation, subject, errno: errno, hint: "the kernel takes 1000 for a device")
        case .invalidArgument:
            VFIOError(
                .kernel, operation, subject, errno: errno,
                hint: "the MSI-X table cannot be written so, and not every machine writes 64 bits")
        default: VFIOError(.kernel, operation, subject, errno: errno)
        }
    }
}
