import CBaseline
import Glibc
import Harness
import VFIO

/// What needs a kernel with VFIO and devices: run by `run lab`, in a guest of the lab.
@main
struct LabBenchmarks {
    static func main() async {
        bench_print_lines()
        let wanted = Set(CommandLine.arguments.dropFirst())
        func isWanted(_ name: String) -> Bool { wanted.isEmpty || wanted.contains(name) }
        do {
            if CommandLine.arguments.dropFirst().first == "disk" {
                return try DiskBenchmark.run(Array(CommandLine.arguments.dropFirst(2)))
            }
            if isWanted("map") {
                try MapBenchmark.run(.iommufd)
                try MapBenchmark.run(.type1)
            }
            if isWanted("interrupt") { try await InterruptBenchmark.run() }
            if isWanted("open") {
                try await OpenBenchmark.run(.iommufd)
                try await OpenBenchmark.run(.type1)
            }
        } catch {
            print("LabBenchmarks: \(error)")
            exit(1)
        }
    }
}

/// A failure of the C side, which has told of it on standard error.
struct BaselineFailure: Error {}
