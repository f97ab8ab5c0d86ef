/// What a controller needs, or does wrong, that its registers do not tell: by its PCI identity. QUIRKS.md beside this
/// library tells where each fact is from, and which ones need nothing of this driver.
struct ControllerQuirks: OptionSet, Sendable, Hashable {
    let rawValue: UInt16

    /// It is an NVMe controller whatever its class code says.
    static let otherClass = ControllerQuirks(rawValue: 1 << 0)
    /// After `CC.EN` was cleared, `CSTS.RDY` must not be read for ``readyDelay``.
    static let delayBeforeReady = ControllerQuirks(rawValue: 1 << 1)
    /// `CAP.MQES` is 0, though its queues have 64 entries.
    static let zeroMeans64Entries = ControllerQuirks(rawValue: 1 << 2)
    /// It loses data with more than one command in flight.
    static let oneCommand = ControllerQuirks(rawValue: 1 << 3)
    /// All queues have to share vector 0.
    static let oneVector = ControllerQuirks(rawValue: 1 << 4)
    /// Without the priority "medium" it takes all queues for urgent.
    static let mediumPriority = ControllerQuirks(rawValue: 1 << 5)
    /// Before version 1.2 it has no list of active namespaces (Identify, CNS 2).
    static let noNamespaceList = ControllerQuirks(rawValue: 1 << 6)
    /// Its submission entries have 128 bytes, and its queues share the command identifiers: this driver cannot do that.
    static let otherEntries = ControllerQuirks(rawValue: 1 << 7)

    /// The time that Linux's driver waits.
    static let readyDelay = Duration.milliseconds(2300)

    init(rawValue: UInt16) { self.rawValue = rawValue }

    init(vendor: UInt16, device: UInt16) {
        self =
            switch (vendor, device) {
            case (0x106b, 0x2001): [.otherClass, .oneCommand, .oneVector]
            case (0x106b, 0x2003): .otherClass
            case (0x106b, 0x2005): [.otherClass, .otherEntries]
            case (0x144d, 0xa821), (0x144d, 0xa822): [.delayBeforeReady, .zeroMeans64Entries]
            case (0x1bb1, 0x0100), (0x1c58, 0x0003), (0x1c58, 0x0023), (0x1c5f, 0x0540): .delayBeforeReady
            case (0x8086, 0x5845): .noNamespaceList
            case (0x8086, 0xf1a5): .mediumPriority
            default: []
            }
    }
}
