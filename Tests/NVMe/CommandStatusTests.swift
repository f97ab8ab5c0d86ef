@testable import NVMe

@Suite struct CommandStatusTests {
    @Test(arguments: [
        (0x0000, "Successful Completion (type 0, code 0x00)"), (0x0004, "Data Transfer Error (type 0, code 0x04)"),
        (0x4080, "LBA Out of Range (type 0, code 0x80, do not retry)"),
        (0x0101, "Invalid Queue Identifier (type 1, code 0x01)"),
        (0x0281, "Unrecovered Read Error (type 2, code 0x81)"),
        (0x0371, "Command Aborted By Host (type 3, code 0x71)"),
        (0x07c3, "Vendor Specific (type 7, code 0xc3)"),
        (0x0444, "unknown status (type 4, code 0x44)"),
    ])
    func isNamedAsInTheSpecification(_ value: UInt16, _ name: String) {
        #expect(CommandStatus(rawValue: value).description == name)
    }

    @Test func bits() {
        let status = CommandStatus(rawValue: 0x6281)
        #expect(status.type == 2)
        #expect(status.code == 0x81)
        #expect(status.hasMore)
        #expect(status.doNotRetry)
        #expect(status.matches(.unrecoveredReadError))
        #expect(!status.matches(.writeFault))
        #expect(!status.isSuccess)
        #expect(CommandStatus(rawValue: 0x6000).isSuccess)
    }

    @Test func errorsSayWhatToDo() {
        #expect(
            "\(NVMeError.status(.dataTransferError, command: "read of 8 blocks at 0"))"
                == "read of 8 blocks at 0 failed: Data Transfer Error (type 0, code 0x04): the controller could not "
                + "reach the data; is it still mapped, and was its dma-buf revoked?")
        #expect(
            "\(NVMeError.timeout(waitingFor: "a completion in queue 1", limit: .seconds(5)))"
                == "no sign of a completion in queue 1 in 5.0 seconds: recover() resets the controller and makes the "
                + "queue anew")
    }
}
