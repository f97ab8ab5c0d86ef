import VFIO
import VFIOMock

/// The machine behind `--mock`: a disk, and memory that can be read into.
enum SampleMachine {
    static func make() -> MockMachine {
        let machine = MockMachine()
        machine.plug(NVMeModel(), at: "0000:00:04.0")
        machine.plug(SharedMemoryModel(), at: "0000:00:03.0")
        // Two functions behind a port, which a hot reset resets together.
        machine.plug(SharedMemoryModel(), at: "0000:01:00.0", group: 8)
        machine.plug(EduModel(), at: "0000:01:00.1", group: 8)
        return machine
    }
}
