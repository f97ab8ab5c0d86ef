/// The story did not go as told.
struct PeerFailure: Error, CustomStringConvertible {
    let description: String
}
