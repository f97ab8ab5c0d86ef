/// A kernel with two network cards, each on a network that returns what it is sent, and what tells whether all was closed.
///
/// In the lab it is the kernel that the tests run on, elsewhere a mock with the lab's cards. No test asks which.
protocol NetworkMachine: Sendable {
    var kernel: any Kernel { get }

    /// What is open or mapped now.
    var leftovers: [String] { get }
}
