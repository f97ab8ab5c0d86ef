internal import SystemPackage

/// The folder of one device in sysfs, whose attributes may be missing, odd, or gone between one look and the next.
struct SysfsFolder {
    let kernel: any Kernel
    let path: FilePath
    /// Whose folder it is, for errors.
    let subject: String

    private static let operation = "read what sysfs says of the device"

    func names() throws(VFIOError) -> [String] {
        try reading(path) { (path) throws(Errno) in try kernel.names(in: path) }
    }

    /// The names in a folder of this one; none when it has gone.
    func names(of folder: String) throws(VFIOError) -> [String] {
        try optional(folder) { (path) throws(Errno) in try kernel.names(in: path) } ?? []
    }

    /// Where the folder itself really is, when it is a link, as in `/sys/bus/pci/devices`.
    func linkTarget() throws(VFIOError) -> FilePath? {
        do throws(Errno) {
            return try kernel.readLink(path)
        } catch .invalidArgument {
            return nil
        } catch {
            throw failure(error, at: path)
        }
    }

    /// The text of an attribute without its line end, when the folder has it.
    func text(_ name: String, in names: Set<String>) throws(VFIOError) -> String? {
        guard names.contains(name) else { return nil }
        return try optional(name) { (path) throws(Errno) in try kernel.readFile(path) }.map(Self.text)
    }

    /// The last component of what a link points to, when the folder has it.
    func linkName(_ name: String, in names: Set<String>) throws(VFIOError) -> String? {
        guard names.contains(name) else { return nil }
        return try optional(name) { (path) throws(Errno) in try kernel.readLink(path) }?.lastComponent?.string
    }

    /// The number in an attribute, when the folder has it.
    func number<Number: FixedWidthInteger>(_ name: String, in names: Set<String>) throws(VFIOError) -> Number? {
        guard let text = try text(name, in: names) else { return nil }
        return try parse(text, name)
    }

    /// The number in an attribute that every device has.
    func number<Number: FixedWidthInteger>(_ name: String) throws(VFIOError) -> Number {
        let bytes = try reading(path.appending(name)) { (path) throws(Errno) in try kernel.readFile(path) }
        return try parse(Self.text(bytes), name)
    }

    /// Decimal, or hexadecimal after `0x`.
    private func parse<Number: FixedWidthInteger>(_ text: String, _ name: String) throws(VFIOError) -> Number {
        let number = text.hasPrefix("0x") ? Number(text.dropFirst(2), radix: 16) : Number(text)
        guard let number else {
            throw VFIOError(
                .unexpectedAnswer, Self.operation, subject, hint: "\(path.appending(name)) holds \"\(text)\"")
        }
        return number
    }

    private static func text(_ bytes: [UInt8]) -> String {
        String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") && $0 != 0 }, as: UTF8.self)
    }

    /// Reads something that may go at any time: `nil` when it has, and the folder is still there.
    private func optional<Result>(
        _ name: String, _ body: (FilePath) throws(Errno) -> Result
    ) throws(VFIOError) -> Result? {
        do throws(Errno) {
            return try body(path.appending(name))
        } catch .noSuchFileOrDirectory {
            _ = try names()
            return nil
        } catch {
            throw failure(error, at: path.appending(name))
        }
    }

    private func reading<Result>(
        _ path: FilePath, _ body: (FilePath) throws(Errno) -> Result
    ) throws(VFIOError) -> Result {
        do throws(Errno) {
            return try body(path)
        } catch {
            throw failure(error, at: path)
        }
    }

    /// A device that is unplugged while its attributes are open answers `ENODEV`.
    private func failure(_ error: Errno, at path: FilePath) -> VFIOError {
        if error == .noSuchFileOrDirectory || error == .operationNotSupportedByDevice || error == .noSuchAddressOrDevice
        {
            return VFIOError(
                .notFound, Self.operation, subject, errno: error, hint: "the machine has no device at this address")
        }
        return VFIOError(.kernel, Self.operation, subject, errno: error, hint: "\(path) cannot be read")
    }
}
