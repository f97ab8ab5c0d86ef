import CBaseline
import SystemPackage
import VFIO
import VFIOMock

/// A mock's kernel, but what a driver does all the time goes to Linux: events, and the requests that map and unmap, for which
/// a pipe answers how many bytes it holds.
///
/// So a call has its true price, and what the library adds to it can be seen. As `HostKernel` it is empty: what it knows
/// is kept outside, or else the library would hold it in a box that is counted.
struct AnsweringKernel: ForwardingKernel {
    private static let machine = {
        let machine = MockMachine()
        for address in ["0000:00:02.0", "0000:00:03.0"] as [PCIAddress] { machine.plug(EduModel(), at: address) }
        return machine
    }()
    /// Nothing is ever written to it.
    static let pipe = try! FileDescriptor.pipe().readEnd

    var kernel: any Kernel { Self.machine.kernel }
    private var host: HostKernel { HostKernel() }

    // Answered by Linux; the rest by the mock.

    func control(
        _ descriptor: FileDescriptor, _ request: UInt, _ argument: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        // IOMMU_IOAS_MAP and IOMMU_IOAS_UNMAP, VFIO_IOMMU_MAP_DMA and VFIO_IOMMU_UNMAP_DMA: their answer is the length
        // that they were given.
        if [0x3b85, 0x3b86, 0x3b71, 0x3b72].contains(request) {
            return try host.control(Self.pipe, UInt(baseline_ioctl_request()), argument)
        }
        return try kernel.control(descriptor, request, argument)
    }
    func read(_ descriptor: FileDescriptor, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        try host.read(descriptor, into: buffer)
    }
    func waitUntilReadable(_ descriptor: FileDescriptor, timeout: Int32?) throws(Errno) -> Bool {
        try host.waitUntilReadable(descriptor, timeout: timeout)
    }
    var pageSize: Int { host.pageSize }
}
