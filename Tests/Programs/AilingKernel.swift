import SystemPackage
import TestSupport
import VFIO
import VFIOMock

@testable import vfioctl

/// The kernel of a mock machine that gives other answers to what the doctor asks.
struct AilingKernel: ForwardingKernel {
    let machine: MockMachine
    var files: [String: String] = ["/proc/cmdline": "quiet"]
    var folders: [String: [String]] = [:]
    var links: [String: String] = [:]
    var failures: [String: Errno] = [:]
    var lockLimit: UInt64?

    init(_ release: MockRelease = .iommufd) {
        machine = MockMachine(release)
        machine.plug(EduModel(), at: "0000:00:02.0")
        machine.plug(NVMeMemoryModel(), at: "0000:00:04.0")
    }

    var kernel: any Kernel { machine.kernel }

    func findings(isMachineFine: Bool) -> [Finding] {
        DeviceDoctor(kernel: self, address: "0000:00:02.0").findings(isMachineFine: isMachineFine)
    }

    // MARK: Other answers

    func open(_ path: FilePath, _ mode: FileDescriptor.AccessMode) throws(Errno) -> FileDescriptor {
        if let failure = failures[path.string] { throw failure }
        return try kernel.open(path, mode)
    }
    func readLink(_ path: FilePath) throws(Errno) -> FilePath {
        if let target = links[path.string] { return FilePath(target) }
        return try kernel.readLink(path)
    }
    func readFile(_ path: FilePath) throws(Errno) -> [UInt8] {
        if let text = files[path.string] { return Array(text.utf8) }
        return try kernel.readFile(path)
    }
    func names(in folder: FilePath) throws(Errno) -> [String] {
        if let names = folders[folder.string] { return names }
        return try kernel.names(in: folder)
    }
    func memoryLockLimit() throws(Errno) -> UInt64? { lockLimit }
}
