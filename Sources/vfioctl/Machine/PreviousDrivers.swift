import Glibc
import SystemPackage
import VFIO

/// Records the driver of a device before `vfioctl bind`, for `vfioctl restore`.
///
/// On a real machine this is a file in `/run`, which lasts as long as the bindings: until shutdown. Each line is an
/// address and a driver.
struct PreviousDrivers {
    private static let folder: FilePath = "/run/vfioctl"
    private static var file: FilePath { folder.appending("previous-drivers") }

    private var drivers: [PCIAddress: String]
    private let isKept: Bool

    init(for machine: MachineOptions) throws {
        isKept = !machine.mock
        drivers = machine.mock ? SampleMachine.previousDrivers : try Self.read()
    }

    subscript(_ address: PCIAddress) -> String? { drivers[address] }

    /// Records the driver that a device is unbound from, unless it is a VFIO driver. Keeps an existing record, because
    /// the first binding is the one to restore.
    mutating func remember(_ change: DriverChange) throws {
        guard change.takesDeviceAway, let driver = change.previousDriver, driver != change.driver,
            !DriverName.isVFIO(driver)
        else { return }
        try update { drivers in if drivers[change.address] == nil { drivers[change.address] = driver } }
    }

    mutating func forget(_ address: PCIAddress) throws {
        guard drivers[address] != nil else { return }
        try update { $0[address] = nil }
    }

    /// Changes the records while holding the lock.
    private mutating func update(_ body: (inout [PCIAddress: String]) -> Void) throws {
        guard isKept else {
            body(&drivers)
            return
        }
        do {
            if unsafe mkdir(Self.folder.string, 0o755) != 0 && errno != EEXIST { throw Errno(rawValue: errno) }
            let lock = try FileDescriptor.open(
                Self.folder.appending("lock"), .readWrite, options: [.create, .noFollow, .closeOnExec],
                permissions: .ownerReadWrite)
            // Closing the file releases the lock.
            defer { try? lock.close() }
            if flock(lock.rawValue, LOCK_EX) != 0 { throw Errno(rawValue: errno) }
            drivers = try Self.read()
            body(&drivers)
            try write()
        } catch let error as Errno {
            if error == .permissionDenied || error == .notPermitted {
                throw VFIOError(
                    .permissionDenied, "change the driver of a device", "\(Self.file)", errno: error,
                    hint: "the device's present driver is recorded there first, which needs root, as the change does")
            }
            throw VFIOError(.kernel, "record the present driver of the device", "\(Self.file)", errno: error)
        }
    }

    private static func read() throws -> [PCIAddress: String] {
        let bytes: [UInt8]
        do throws(Errno) {
            bytes = try HostKernel().readFile(file)
        } catch .noSuchFileOrDirectory {
            return [:]
        } catch {
            throw VFIOError(.kernel, "read which drivers the devices had", "\(file)", errno: error)
        }
        var drivers: [PCIAddress: String] = [:]
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 1)
            if words.count == 2, let address = PCIAddress(String(words[0])) { drivers[address] = String(words[1]) }
        }
        return drivers
    }

    /// Writes a new file and renames it over the old one, so that readers never see a partial file.
    private func write() throws {
        let text = drivers.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)\n" }.joined()
        let fresh = Self.folder.appending("previous-drivers.new")
        let file = try FileDescriptor.open(
            fresh, .writeOnly, options: [.create, .truncate, .noFollow, .closeOnExec],
            permissions: [.ownerReadWrite, .groupRead, .otherRead])
        try file.closeAfter { _ = try file.writeAll(text.utf8) }
        if unsafe rename(fresh.string, Self.file.string) != 0 { throw Errno(rawValue: errno) }
    }
}
