import VFIO

/// A device whose driver makes mediated devices.
final class MediatedParent {
    let name: String
    /// What each type of mediated device is made of, by the type's name.
    let types: [String: @Sendable () -> any MockDevice]
    /// How many more it can make.
    var available: Int

    init(name: String, types: [String: @Sendable () -> any MockDevice], limit: Int) {
        self.name = name
        self.types = types
        available = limit
    }
}
