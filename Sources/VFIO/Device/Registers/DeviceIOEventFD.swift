public import SystemPackage

/// An eventfd that makes the kernel write a register, until this value is closed or deinitialized.
/// The corresponding request is `VFIO_DEVICE_IOEVENTFD`.
///
/// A doorbell that a guest writes can so reach the device from a KVM ioeventfd without an exit to user space.
///
/// ```swift
/// let doorbell = try device.makeIOEventFD(UInt32(1), at: 0x1008, of: .bar0)
/// try doorbell.signal()
/// ```
/// While memory decode of the device is off, nothing is written.
public struct DeviceIOEventFD: ~Copyable, Sendable {
    private let event: OwnedDescriptor
    /// The value that is written.
    package let value: UInt64
    /// The width of the register in bytes.
    package let width: Int
    /// The register's offset in the device's descriptor.
    private let offset: UInt64
    private let lease: DeviceLease
    private var isOpen = true
    /// The region that is written.
    public let region: RegionIndex

    init(
        _ event: consuming OwnedDescriptor, _ value: UInt64, width: Int, at offset: UInt64, region: RegionIndex,
        lease: DeviceLease
    ) {
        self.event = event
        self.value = value
        self.width = width
        self.offset = offset
        self.region = region
        self.lease = lease
    }

    deinit {
        if isOpen { try? end() }
    }

    private borrowing func end() throws(VFIOError) {
        try ABI.setRegisterWrite(value, width: width, at: offset, by: nil).perform(
            on: lease.core, "end the writes of an event", "\(region) of \(lease.core.address)")
    }

    /// Gives access to the eventfd, for KVM or another process. The library owns it and closes it with this value.
    public func withEvent<Result: ~Copyable, Failure: Error>(
        _ body: (FileDescriptor) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(event.descriptor)
    }

    /// Signals the event, so that the kernel writes the register.
    public func signal() throws(VFIOError) {
        let one: UInt64 = 1
        _ = try unsafe attempt(
            "signal the event (write)", "\(region) of \(lease.core.address)",
            withUnsafeBytes(of: one) { (bytes) throws(Errno) -> Int in
                try unsafe event.kernel.write(event.descriptor, from: bytes)
            })
    }

    /// Removes the ioeventfd and throws the kernel's error. The corresponding request is `VFIO_DEVICE_IOEVENTFD`.
    public consuming func close() throws(VFIOError) {
        isOpen = false
        try end()
    }
}

extension Device {
    /// Makes an event write a value to a register each time it is signalled.
    /// The corresponding request is `VFIO_DEVICE_IOEVENTFD`.
    ///
    /// - Parameters:
    ///   - value: The value, with the width of its type: 8, 16, 32, or 64 bits (not on every machine).
    ///   - offset: The register in bytes from the start of the region, a multiple of the width.
    ///   - index: A BAR.
    /// - Throws: `.notFound` without such a BAR, `.outOfRange`, `.misaligned`; `.busy` if another event writes the same
    ///   value to the same register, `.limit` beyond a thousand events, `.kernel` for the MSI-X table, which cannot be
    ///   written this way.
    public func makeIOEventFD<Value: FixedWidthInteger & UnsignedInteger>(
        _ value: Value, at offset: UInt64, of index: RegionIndex
    ) throws(VFIOError) -> DeviceIOEventFD {
        let words = "let an event write a register"
        let operation = ABI.Call.setRegisterWrite.operation(words)
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
        let event = OwnedDescriptor(
            try attempt("make an event (eventfd)", subject, core.kernel.makeEvent()), of: core.kernel)
        let lease = DeviceLease(core, for: .registerWrite(index))
        let start = region.offset + offset
        try ABI.setRegisterWrite(UInt64(value), width: Int(width), at: start, by: event.descriptor).perform(
            on: core, words, subject, lacking: "the device's driver does not offer it",
            refusals: [
                .fileExists: (.busy, "another event writes this value to this register"),
                .noSpace: (.limit, "the kernel takes 1000 for a device"),
                .invalidArgument: (
                    .kernel, "the MSI-X table cannot be written so, and not every machine writes 64 bits"
                ),
            ])
        return DeviceIOEventFD(event, UInt64(value), width: Int(width), at: start, region: index, lease: lease)
    }
}
