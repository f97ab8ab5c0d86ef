import Testing

/// The contract between the library and the kernel. The devices of a real machine are shared, so one test runs at a time.
@Suite("Contract", .serialized, .timeLimit(.minutes(5)))
enum Contract {}
