extension VFToken {
    static func missingHint(given token: VFToken?) -> String {
        "it takes the token that the users of the physical function and of its virtual ones share, and "
            + (token == nil ? "none was given" : "this is not it")
    }
    static let uselessHint =
        "the device takes no token: neither it nor its physical function is one with VFs of vfio-pci"
}
