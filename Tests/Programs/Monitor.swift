import Foundation
import Testing

/// The monitor (QMP) of the QEMU that a test of the lab runs in, which the machine `hotplug` gives its guest.
final class Monitor {
    private let port: FileHandle
    private var unread = Data()

    init() throws {
        port = try #require(FileHandle(forUpdatingAtPath: try Self.path()), "the monitor's port cannot be opened")
        do {
            try execute("qmp_capabilities")
        } catch let failure as Failure where failure.text.contains("CommandNotFound") {
            // The session outlives this object, and another test has begun it.
        }
    }

    deinit { try? port.close() }

    /// The kernel learns the port's name a little after its driver is loaded.
    private static func path() throws -> String {
        let folder = "/sys/class/virtio-ports"
        for _ in 0..<100 {
            for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
                let label = try? String(contentsOfFile: "\(folder)/\(name)/name", encoding: .utf8)
                if label?.hasPrefix("lab-qmp") == true { return "/dev/\(name)" }
            }
            usleep(100_000)
        }
        throw Failure(text: "the lab has no port to the monitor")
    }

    struct Failure: Error { let text: String }

    /// Executes a command and returns what it gives.
    @discardableResult
    func execute(_ command: String, _ arguments: [String: Any] = [:]) throws -> Any {
        let request: [String: Any] = ["execute": command, "arguments": arguments]
        port.write(try JSONSerialization.data(withJSONObject: request) + Data("\n".utf8))
        while true {
            let message = try readMessage()
            if let error = message["error"] { throw Failure(text: "\(command): \(error)") }
            // The greeting and events stand between.
            if let result = message["return"] { return result }
        }
    }

    /// Executes a command of the monitor for people.
    func executeAsHuman(_ line: String) throws -> String {
        try execute("human-monitor-command", ["command-line": line]) as? String ?? ""
    }

    private func readMessage() throws -> [String: Any] {
        while true {
            if let end = unread.firstIndex(of: UInt8(ascii: "\n")) {
                let line = unread[unread.startIndex..<end]
                unread = Data(unread[unread.index(after: end)...])
                if line.allSatisfy({ $0 == UInt8(ascii: "\r") }) { continue }
                return try #require(try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any])
            }
            let part = port.availableData
            if part.isEmpty { throw Failure(text: "the monitor has closed its port") }
            unread += part
        }
    }
}
