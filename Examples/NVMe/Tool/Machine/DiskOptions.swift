import ArgumentParser
import NVMe
import ToolSupport
import VFIO
import VFIOMock

/// The disk that a command uses.
struct DiskOptions: ParsableArguments {
    @Flag(help: ArgumentHelp(SampleMachine.help, discussion: SampleMachine.discussion))
    var mock = false

    @Option(name: .customLong("namespace"), help: "The namespace; by default 1, or all if the command supports that.")
    var chosenNamespace: UInt32?

    /// The namespace, for a command that needs one.
    var namespace: UInt32 { chosenNamespace ?? 1 }

    @Argument(help: ArgumentHelp("The NVMe controller.", valueName: "bdf"), transform: PCIAddress.parse)
    var address: PCIAddress

    /// Returns the namespace. If none was chosen and there is no 1, the error names those that there are.
    func namespace(of controller: borrowing Controller) throws -> Namespace {
        if chosenNamespace == nil {
            let found = try controller.namespaceIDs()
            guard found.contains(1) else {
                let list =
                    found.isEmpty
                    ? "it has none" : "choose with --namespace: \(found.map(String.init).joined(separator: ", "))"
                throw ValidationError("the controller has no active namespace 1; \(list)")
            }
        }
        return try controller.namespace(namespace)
    }

    /// The kernel that performs the system calls.
    func makeKernel() -> any Kernel { mock ? SampleMachine.make().kernel : HostKernel() }

    /// Initialises the controller.
    func open(in space: AddressSpace, queueCount: Int = 1) throws -> Controller {
        var options = ControllerOptions()
        options.queueCount = queueCount
        return try Controller(Device(at: address, in: space), options: options)
    }
}
