extension NVMeModel {
    struct PlannedFault {
        var fault: NVMeFault
        var match: NVMeFault.Match
        var skipping: Int
        var count: Int
    }
}
