internal import SystemPackage

/// The sysfs directory of one device, whose attributes may be missing, malformed, or removed between two reads.
struct SysfsFolder {
    let kernel: any Kernel
    let path: FilePath
    /// The device, for errors.
    let subject: String

    private static let operation = "read what sysfs says of the device"

    func names() throws(VFIOError) -> [String] {
        try reading(path) { (path) throws(Errno) in try kernel.names(in: path) }
    }

    /// Returns the names in a subdirectory; none if it was removed.
    func names(of folder: String) throws(VFIOError) -> [String] {
        try optional(folder) { (path) throws(Errno) in try kernel.names(in: path) } ?? []
    }

    /// Returns the real path of the directory, if it is a link, as in `/sys/bus/pci/devices`.
    func linkTarget() throws(VFIOError) -> FilePath? {
        do throws(Errno) {
            return try kernel.readLink(path)
        } catch .invalidArgument {
            return nil
        } catch {
            throw failure(error, at: path)
        }
    }

    /// Returns the text of an attribute without its newline, if the directory has it.
    func text(_ name: String, in names: Set<String>) throws(VFIOError) -> String? {
        guard names.contains(name) else { return nil }
        return try optional(name) { (path) throws(Errno) in try kernel.readFile(path) }.map(Self.text)
    }

    /// Returns the last component of a link's target, if the directory has it.
    func linkName(_ name: String, in names: Set<String>) throws(VFIOError) -> String? {
        guard names.contains(name) else { return nil }
        return try optional(name) { (path) throws(Errno) in try kernel.readLink(path) }?.lastComponent?.string
    }

    /// Returns the number in an attribute, if the directory has it.
    func number<Number: FixedWidthInteger>(_ name: String, in names: Set<String>) throws(VFIOError) -> Number? {
        guard let text = try text(name, in: names) else { return nil }
        return try parse(text, name)
    }

    /// Returns the number in an attribute that every device has.
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

    /// Reads something that may be removed at any time: `nil` if it was, and the directory still exists.
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

    /// Returns the error of a read. A device that is unplugged while its attributes are open returns `ENODEV`.
    private func failure(_ error: Errno, at path: FilePath) -> VFIOError {
        if error == .noSuchFileOrDirectory || error == .operationNotSupportedByDevice || error == .noSuchAddressOrDevice
        {
            return VFIOError(
                .notFound, Self.operation, subject, errno: error, hint: "the machine has no device at this address")
        }
        return VFIOError(.kernel, Self.operation, subject, errno: error, hint: "\(path) cannot be read")
    }
}
