import ArgumentParser
import NVMe
import VFIO

/// `nvmectl info`.
struct InfoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info", abstract: "Show the controller and its namespaces (Identify).")

    @OptionGroup var disk: DiskOptions

    func run() throws {
        let space = try AddressSpace(kernel: disk.makeKernel())
        let controller = try disk.open(in: space)
        let (info, capabilities) = (controller.info, controller.capabilities)
        print("controller \(disk.address): \(info.model)")
        print("  serial number       \(info.serialNumber)")
        print("  firmware            \(info.firmwareRevision)")
        print("  NVMe version        \(info.version)")
        print("  entries of a queue  up to \(capabilities.maximumQueueEntryCount)")
        print("  bytes of a command  \(info.maximumTransferByteCount.map { "up to \($0)" } ?? "no limit")")
        print("  write cache         \(info.hasVolatileWriteCache ? "yes: flush what has to last" : "no")")
        for id in try disk.chosenNamespace.map({ [$0] }) ?? controller.namespaceIDs() {
            print("namespace \(id): \(try Self.describe(id, of: controller))")
        }
        try controller.close()
    }

    /// Describes a namespace, also one that the driver cannot use, which does not matter for the others.
    static func describe(_ id: UInt32, of controller: borrowing Controller) throws(NVMeError) -> String {
        do throws(NVMeError) {
            let namespace = try controller.namespace(id)
            return "\(namespace.blockCount) blocks of \(namespace.blockSize) bytes, \(namespace.byteCount >> 20) MiB"
        } catch .unsupported(let what) {
            return "not usable with this driver: \(what)"
        } catch .status(let status, _) {
            return "not usable: \(status)"
        }
    }
}
