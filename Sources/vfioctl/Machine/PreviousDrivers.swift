import Glibc
import SystemPackage
import VFIO

/// Records the driver and the `driver_override` of a device before `vfioctl bind`, for `vfioctl restore`.
///
/// On a real machine this is a file in `/run`, which lasts as long as the bindings: until shutdown. Each line is an
/// address and a driver, which may be missing, and after a tab the override, if there was one. It is written before the
/// first change to a device, so `restore` works wherever a command was interrupted.
struct PreviousDrivers {
    struct Record: Equatable {
        /// The driver; `nil` for none.
        var driver: String?
        /// The override; `nil` for none.
        var override: String?
    }

    private let folder: FilePath
    private var file: FilePath { folder.appending("previous-drivers") }

    private var drivers: [PCIAddress: Record] = [:]
    private let isKept: Bool

    init(for machine: MachineOptions) throws {
        (folder, isKept) = ("/run/vfioctl", !machine.mock)
        drivers = isKept ? try read() : SampleMachine.previousDrivers
    }

    /// - Parameter folder: The folder with the records, which is made if needed.
    init(in folder: FilePath) throws {
        (self.folder, isKept) = (folder, true)
        drivers = try read()
    }

    subscript(_ address: PCIAddress) -> Record? { drivers[address] }

    /// Records what a device is bound to before a change takes it away, unless that is a VFIO driver. Keeps an existing
    /// record, because the first binding is the one to restore.
    mutating func remember(_ change: DriverChange) throws {
        guard !(change.previousDriver.map(DriverName.isVFIO) ?? false) else { return }
        let isTaken = change.takesDeviceAway && change.previousDriver != change.driver
        let losesOverride = change.previousOverride.map { $0 != change.driver } ?? false
        guard !change.steps.isEmpty, isTaken || losesOverride else { return }
        let record = Record(driver: change.previousDriver, override: change.previousOverride)
        try update { drivers in if drivers[change.address] == nil { drivers[change.address] = record } }
    }

    mutating func forget(_ address: PCIAddress) throws {
        guard drivers[address] != nil else { return }
        try update { $0[address] = nil }
    }

    /// Changes the records while holding the lock.
    private mutating func update(_ body: (inout [PCIAddress: Record]) -> Void) throws {
        guard isKept else {
            body(&drivers)
            return
        }
        do {
            if unsafe mkdir(folder.string, 0o755) != 0 && errno != EEXIST { throw Errno(rawValue: errno) }
            let lock = try FileDescriptor.open(
                folder.appending("lock"), .readWrite, options: [.create, .noFollow, .closeOnExec],
                permissions: .ownerReadWrite)
            // Closing the file releases the lock.
            defer { try? lock.close() }
            if flock(lock.rawValue, LOCK_EX) != 0 { throw Errno(rawValue: errno) }
            drivers = try read()
            body(&drivers)
            try write()
        } catch let error as Errno {
            if error == .permissionDenied || error == .notPermitted {
                throw VFIOError(
                    .permissionDenied, "change the driver of a device", "\(file)", errno: error,
                    hint: "the device's present driver is recorded there first, which needs root, as the change does")
            }
            throw VFIOError(.kernel, "record the present driver of the device", "\(file)", errno: error)
        }
    }

    private func read() throws -> [PCIAddress: Record] {
        let bytes: [UInt8]
        do throws(Errno) {
            bytes = try HostKernel().readFile(file)
        } catch .noSuchFileOrDirectory {
            return [:]
        } catch {
            throw VFIOError(.kernel, "read which drivers the devices had", "\(file)", errno: error)
        }
        var drivers: [PCIAddress: Record] = [:]
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            // A driver's name may have spaces.
            let words = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
            guard words.count == 2, let address = PCIAddress(String(words[0])) else { continue }
            let names = words[1].split(separator: "\t", maxSplits: 1, omittingEmptySubsequences: false)
            drivers[address] = Record(
                driver: names[0].isEmpty ? nil : String(names[0]), override: names.count > 1 ? String(names[1]) : nil)
        }
        return drivers
    }

    /// Writes a new file and renames it over the old one, so that readers never see a partial file.
    private func write() throws {
        let lines = drivers.sorted { $0.key < $1.key }.map { (address, record) in
            "\(address) \(record.driver ?? "")\(record.override.map { "\t\($0)" } ?? "")\n"
        }
        let fresh = folder.appending("previous-drivers.new")
        let file = try FileDescriptor.open(
            fresh, .writeOnly, options: [.create, .truncate, .noFollow, .closeOnExec],
            permissions: [.ownerReadWrite, .groupRead, .otherRead])
        try file.closeAfter { _ = try file.writeAll(lines.joined().utf8) }
        if unsafe rename(fresh.string, self.file.string) != 0 { throw Errno(rawValue: errno) }
    }
}
