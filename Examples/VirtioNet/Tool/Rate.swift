/// A rate in frames per second.
struct Rate: CustomStringConvertible {
    private let perSecond: Double

    init(_ count: Int, in time: Duration) {
        let (seconds, attoseconds) = time.components
        perSecond = Double(count) / max(Double(seconds) + Double(attoseconds) * 1e-18, 1e-9)
    }

    var description: String {
        perSecond >= 1e6 ? "\((perSecond / 1e4).rounded() / 100) Mframes/s" : "\(Int(perSecond)) frames/s"
    }
}
