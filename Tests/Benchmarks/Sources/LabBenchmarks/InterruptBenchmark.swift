import CBaseline
import Harness
import VFIO

/// From a device's MSI to the handler: QEMU's edu raises one when its register 0x60 is written.
///
/// Both sides read the same eventfd of the same interrupt; the C side reads it itself.
enum InterruptBenchmark {
    static func run() async throws {
        let space = try AddressSpace(.iommufd)
        let device = try Device(at: "0000:00:02.0", in: space)
        try device.config.updateCommand { $0.insert(.busMaster) }
        let fixture = InterruptFixture(bar: try device.map(.bar0), vector: try device.interrupts(.msi).enable())
        guard baseline_start_raiser(fixture.bar.unsafeBaseAddress) == 0 else { throw BaselineFailure() }

        try await Event("interrupt-poll-msi", "MSI to InterruptVector.poll") {
            try fixture.poll()
        } baseline: {
            fixture.baselinePoll()
        }.measure(rounds: 2000)

        try await Event("interrupt-wait-msi", "MSI to InterruptVector.wait, the thread asleep") {
            try fixture.wait()
        } baseline: {
            fixture.baselineWait()
        }.measure(rounds: 1500)

        try await Event("interrupt-events-msi", "MSI to InterruptVector.events") {
            try await fixture.next()
        } baseline: {
            fixture.baselineWait()
        }.measure(rounds: 500)
    }
}
