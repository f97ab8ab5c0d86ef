@testable import VFIO

/// Features that are for other devices than the lab's: they say so.
extension Contract.FeatureTests {
    @Test("what is for virtual functions, for CDX, for s390 is not here", arguments: Scenario.all)
    func elsewhere(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let device = try Device(at: bench.nvme, in: bench.makeSpace())
        #expect(try device.supports(.vfToken) == false)
        let token = try #require(VFToken("2ab74924-c335-45f4-9b16-8569e5b08258"))
        expectRefusal(.unsupported, .inappropriateIOCTLForDevice) { try device.setVFToken(token) }
        expectRefusal(.unsupported, .inappropriateIOCTLForDevice) { try device.setBusMaster(true) }
        expectErrno(.inappropriateIOCTLForDevice) {
            try bench.kernel.feature(
                device.core.descriptor, CVFIO_DEVICE_FEATURE_GET | CVFIO_DEVICE_FEATURE_ZPCI_ERROR, words: [0, 0])
        }
        try device.close()
    }
}
