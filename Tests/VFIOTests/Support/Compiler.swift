import Glibc

/// The Swift compiler, for tests of what compiles and of what it compiles to.
///
/// It is given the modules that the tests themselves were built against.
enum Compiler {
    /// Where it is; `nil` on a machine that only runs the tests.
    static let path: String? = {
        guard let search = getenv("PATH").map({ String(cString: $0) }) else { return nil }
        return search.split(separator: ":").map { "\($0)/swiftc" }.first { access($0, X_OK) == 0 }
    }()

    static let isMissing: Comment = "no swiftc in PATH"

    struct Failure: Error, CustomStringConvertible { var description: String }

    /// What the compiler did.
    struct Result {
        var succeeded: Bool
        var diagnostics: String
        /// What it wrote, empty after a failure.
        var output: String
    }

    /// Whether the program compiles, and what the compiler has to say.
    ///
    /// Ownership and lifetimes are checked on SIL, so a check of the types alone would not do.
    static func check(_ source: String, _ options: [String] = []) throws -> Result {
        try run(source, ["-emit-sil"] + options)
    }

    /// The optimised LLVM IR of a program.
    static func optimised(_ source: String) throws -> String {
        let result = try run(source, ["-O", "-parse-as-library", "-emit-ir"])
        guard result.succeeded else { throw Failure(description: result.diagnostics) }
        return result.output
    }

    private static func run(_ source: String, _ options: [String]) throws -> Result {
        let folder = try temporaryFolder()
        defer { remove(folder) }
        let program = "\(folder)/Client.swift"
        let output = "\(folder)/output"
        let log = "\(folder)/log"
        try write(source, to: program)
        let arguments =
            [path!, "-swift-version", "6", "-module-name", "Client"] + (try searchPaths()) + options
            + [program, "-o", output]
        let status = try spawn(arguments, log: log)
        return Result(succeeded: status == 0, diagnostics: try read(log), output: status == 0 ? try read(output) : "")
    }

    /// Where the modules are that the library was built from and into.
    private static func searchPaths() throws -> [String] {
        // The runner loads the bundle, as a library or as its own program, so it is among what is mapped.
        let maps = try read("/proc/self/maps").split(separator: "\n")
        guard
            let bundle = maps.lazy.compactMap({ line in line.firstIndex(of: "/").map { line[$0...] } }).first(where: {
                $0.hasSuffix(".xctest")
            })
        else { throw Failure(description: "no test bundle is loaded") }
        // SCRATCH/TRIPLE/CONFIGURATION/BUNDLE
        let build = FilePath(String(bundle)).removingLastComponent()
        let scratch = build.removingLastComponent().removingLastComponent()
        // ROOT/Tests/VFIOTests/Support/Compiler.swift
        var root = FilePath(#filePath)
        for _ in 0..<4 { root.removeLastComponent() }
        return [
            "\(build)/Modules", "\(scratch)/checkouts/swift-system/Sources/CSystem/include",
            "\(root)/CShims/CVFIO/include", "\(root)/CShims/CMMIO/include",
        ].flatMap { ["-I", $0] }
    }

    // MARK: Files and processes

    private static func temporaryFolder() throws -> String {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/VFIOTests.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Failure(description: "mkdtemp: \(Errno(rawValue: errno))") }
        return String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    private static func remove(_ folder: String) {
        for name in ["Client.swift", "output", "log"] { unlink("\(folder)/\(name)") }
        rmdir(folder)
    }

    private static func write(_ text: String, to path: String) throws {
        let file = try FileDescriptor.open(
            path, .writeOnly, options: [.create, .truncate], permissions: .ownerReadWrite)
        defer { try? file.close() }
        try file.writeAll(text.utf8)
    }

    private static func read(_ path: String) throws -> String {
        let file = try FileDescriptor.open(path, .readOnly)
        defer { try? file.close() }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while case let count = try chunk.withUnsafeMutableBytes({ try file.read(into: $0) }), count > 0 {
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Runs a program with its output in a file, and gives its exit status.
    private static func spawn(_ arguments: [String], log: String) throws -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for argument in argv { free(argument) } }
        var child: pid_t = 0
        let failure = posix_spawn(&child, arguments[0], &actions, nil, &argv, environ)
        guard failure == 0 else { throw Failure(description: "posix_spawn: \(Errno(rawValue: failure))") }
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0 && errno == EINTR {}
        return status
    }
}
