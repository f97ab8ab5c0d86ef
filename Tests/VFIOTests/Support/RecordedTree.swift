import Foundation
import Synchronization

/// A kernel that has nothing but files: what `Recordings/record` wrote down on a machine, or what a test adds.
final class RecordedTree: ForwardingKernel {
    private enum Entry {
        case link(String)
        case file([UInt8])
        case folder
    }

    private struct State {
        var entries: [String: Entry] = [:]
        var failures: [String: Errno] = [:]
        var reads: [String: @Sendable (RecordedTree) -> Void] = [:]
        var writes: [(path: String, text: String)] = []
        var onWrite: (@Sendable (RecordedTree, String, String) throws(Errno) -> Void)?
    }

    private let state = Mutex(State())

    init(_ lines: String = "") { add(lines) }

    /// A recording of this folder's.
    convenience init(recording name: String) throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        self.init(try String(contentsOf: folder.appendingPathComponent("Recordings/\(name).txt"), encoding: .utf8))
    }

    // MARK: The tree

    /// Adds what the lines say, in the form of the recordings.
    func add(_ lines: String) {
        state.withLock { state in
            for line in lines.split(separator: "\n") {
                if let arrow = line.range(of: " -> ") {
                    state.entries[String(line[..<arrow.lowerBound])] = .link(String(line[arrow.upperBound...]))
                } else if let sign = line.range(of: " = ") {
                    let text = line[sign.upperBound...].replacingOccurrences(of: "\\n", with: "\n") + "\n"
                    state.entries[String(line[..<sign.lowerBound])] = .file(Array(text.utf8))
                } else if line.hasSuffix(" =") {
                    state.entries[String(line.dropLast(2))] = .file([UInt8(ascii: "\n")])
                } else {
                    state.entries[line.hasSuffix("/") ? String(line.dropLast()) : String(line)] = .folder
                }
            }
        }
    }

    /// Takes away a file, a link, or a folder with all that is in it.
    func remove(_ path: String) {
        state.withLock { state in
            state.entries = state.entries.filter { $0.key != path && !$0.key.hasPrefix(path + "/") }
        }
    }

    /// Lets each access to a path fail.
    func fail(_ path: String, with errno: Errno) { state.withLock { $0.failures[path] = errno } }

    /// Does something just before a path is read, once.
    func beforeReading(_ path: String, _ body: @escaping @Sendable (RecordedTree) -> Void) {
        state.withLock { $0.reads[path] = body }
    }

    /// What a write does. Without, it does nothing.
    func onWrite(_ body: @escaping @Sendable (RecordedTree, String, String) throws(Errno) -> Void) {
        state.withLock { $0.onWrite = body }
    }

    /// What was written, in order, as `TEXT > PATH`.
    var writes: [String] { state.withLock { $0.writes.map { "\($0.text) > \($0.path)" } } }

    // MARK: Looking up

    /// The path without links in all but the last component, or in all.
    private func resolve(_ path: String, followingLast: Bool) throws(Errno) -> String {
        var pending = Array(path.split(separator: "/").map(String.init).reversed())
        var done: [String] = []
        var hops = 0
        while let name = pending.popLast() {
            if name == "." { continue }
            if name == ".." {
                _ = done.popLast()
                continue
            }
            let here = "/" + (done + [name]).joined(separator: "/")
            if case .link(let target) = state.withLock({ $0.entries[here] }), followingLast || !pending.isEmpty {
                hops += 1
                if hops > 40 { throw .tooManySymbolicLinkLevels }
                if target.hasPrefix("/") { done = [] }
                pending += target.split(separator: "/").map(String.init).reversed()
                continue
            }
            done.append(name)
        }
        return "/" + done.joined(separator: "/")
    }

    private func touch(_ path: FilePath) throws(Errno) {
        let (hook, failure) = state.withLock { ($0.reads.removeValue(forKey: "\(path)"), $0.failures["\(path)"]) }
        hook?(self)
        if let failure { throw failure }
    }

    func readLink(_ path: FilePath) throws(Errno) -> FilePath {
        try touch(path)
        let place = try resolve("\(path)", followingLast: false)
        switch state.withLock({ $0.entries[place] }) {
        case .link(let target): return FilePath(target)
        case nil where !isFolder(place): throw .noSuchFileOrDirectory
        default: throw .invalidArgument
        }
    }

    func readFile(_ path: FilePath) throws(Errno) -> [UInt8] {
        try touch(path)
        let place = try resolve("\(path)", followingLast: true)
        switch state.withLock({ $0.entries[place] }) {
        case .file(let bytes): return bytes
        case nil where !isFolder(place): throw .noSuchFileOrDirectory
        default: throw .isDirectory
        }
    }

    func names(in folder: FilePath) throws(Errno) -> [String] {
        try touch(folder)
        let place = try resolve("\(folder)", followingLast: true)
        guard isFolder(place) else { throw .noSuchFileOrDirectory }
        let names = state.withLock { state in
            state.entries.keys.filter { $0.hasPrefix(place + "/") }
                .map { String($0.dropFirst(place.count + 1).prefix { $0 != "/" }) }
        }
        return Set(names).sorted()
    }

    private func isFolder(_ place: String) -> Bool {
        state.withLock { state in
            if case .folder = state.entries[place] { return true }
            return state.entries.keys.contains { $0.hasPrefix(place + "/") }
        }
    }

    func writeFile(_ path: FilePath, _ bytes: [UInt8]) throws(Errno) {
        try touch(path)
        let place = try resolve("\(path)", followingLast: true)
        let text = String(decoding: bytes, as: UTF8.self)
        let body = state.withLock { state in
            state.writes.append((place, text == "\n" ? "" : text))
            return state.onWrite
        }
        try body?(self, place, text)
    }

    // MARK: Nothing else

    var kernel: any Kernel { HostKernel() }
    func willCall(_ name: @autoclosure () -> String) throws(Errno) { throw .noFunction }
}
