/// The tests that a mock and the lab's kernel both pass. The lab's cards are shared, so one runs at a time.
@Suite("VirtioNet", .serialized, .timeLimit(.minutes(15)))
enum VirtioNetTests {}
