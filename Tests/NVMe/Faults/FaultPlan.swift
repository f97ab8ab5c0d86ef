/// What goes wrong in one round of a ``FaultCourse``.
struct FaultPlan {
    /// What befalls the commands of the round.
    var fault: NVMeFault?
    var match = NVMeFault.Match.io
    /// It befalls each command of the round, or else some of them.
    var befallsAll = false
    /// What befalls the recovery from that.
    var nextFault: NVMeFault?
    var nextMatch = NVMeFault.Match.admin
    /// The commands that were held back are let go, in any order. Otherwise they stay where they are.
    var releases = false
    /// What comes from outside while commands are in flight.
    var outside = Outside.nothing

    enum Outside { case nothing, reset, strayCompletion, spuriousInterrupt }

    init(_ fault: NVMeFault? = nil, releases: Bool = false, then nextFault: NVMeFault? = nil) {
        self.fault = fault
        self.releases = releases
        self.nextFault = nextFault
    }

    init(_ outside: Outside) {
        self.outside = outside
        // There has to be something in flight.
        if outside == .reset { fault = .holdCommand }
        if outside == .strayCompletion {
            // Of all commands, so that whichever slot it seems to be for, the one in there has not been done.
            fault = .holdCommand
            befallsAll = true
            releases = true
        }
        if outside == .spuriousInterrupt {
            fault = .holdCompletion
            releases = true
        }
    }

    /// One after the other, of each kind as many.
    static func number(_ number: Int, _ random: inout SplitMix64) -> FaultPlan {
        let kinds: [FaultPlan] = [
            .init(.loseCommand), .init(.loseCompletion), .init(.holdCommand), .init(.holdCompletion),
            .init(.holdCommand, releases: true), .init(.holdCompletion, releases: true),
            .init(.fail(.internalError)), .init(.fail(.unrecoveredReadError)),
            .init(.fail(.init(type: 7, code: 0xc5, doNotRetry: true))), .init(.corruptData),
            // No slot of a queue of 20 commands has this number.
            .init(.changeIdentifier(to: 0xffff)), .init(.duplicateCompletion), .init(.loseInterrupt),
            .init(.becomeFatal), .init(.resetController), .init(.reset), .init(.strayCompletion),
            .init(.spuriousInterrupt), .init(.strayCompletion), .init(.loseCommand, then: .staysDisabled),
            .init(.becomeFatal, then: .staysReady),
            .init(.resetController, then: .loseCommand), .init(.loseCompletion, then: .loseCompletion),
            .init(.becomeFatal, then: .fail(.internalError)), .init(.loseCommand, then: .becomeFatal),
            .init(.loseCommand, then: .resetController), .init(.loseCommand, then: .duplicateCompletion),
        ]
        var plan = kinds[number % kinds.count]
        if !plan.befallsAll, Int.random(in: 0..<3, using: &random) == 0 {
            plan.match = .io(UInt8.random(in: 1...2, using: &random))
        }
        // The commands of a recovery: Set Features, and the creation of the queues.
        if Bool.random(using: &random) { plan.nextMatch = .admin([9, 5, 1].randomElement(using: &random)!) }
        return plan
    }
}
