import Synchronization
package import SystemPackage
package import VFIO

/// A kernel that runs code of the test before or after a request, as another thread may at that moment.
package final class HookedKernel: ForwardingKernel {
    package let kernel: any Kernel
    private let hooks = Mutex(Hooks())

    private struct Hooks {
        var before: [UInt: @Sendable () -> Void] = [:]
        var after: [UInt: @Sendable () -> Void] = [:]
    }

    package init(_ kernel: any Kernel) { self.kernel = kernel }

    /// Runs the code once, before the next such request.
    package func before(_ request: UInt, _ body: @escaping @Sendable () -> Void) {
        hooks.withLock { $0.before[request] = body }
    }

    /// Runs the code once, after the next such request that succeeds.
    package func after(_ request: UInt, _ body: @escaping @Sendable () -> Void) {
        hooks.withLock { $0.after[request] = body }
    }

    package func control(
        _ descriptor: FileDescriptor, _ request: UInt, _ argument: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        hooks.withLock { $0.before.removeValue(forKey: request) }?()
        let result = try kernel.control(descriptor, request, argument)
        hooks.withLock { $0.after.removeValue(forKey: request) }?()
        return result
    }
}
