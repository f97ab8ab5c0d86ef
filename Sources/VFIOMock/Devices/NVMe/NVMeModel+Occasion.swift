extension NVMeModel {
    /// What a fault may befall.
    enum Occasion {
        case command(Command, queue: Int)
        case enable, disable, shutdown
    }
}
