import CFuzz
import Glibc

/// The targets by name; see README.md.
let targets: [String: fuzz_target] = [
    "answers": fuzzAnswers, "config": fuzzConfig, "drivers": fuzzDrivers, "requests": fuzzRequests, "text": fuzzText,
]

guard CommandLine.argc > 1, let target = targets[CommandLine.arguments[1]] else {
    print("usage: Fuzz \(targets.keys.sorted().joined(separator: "|")) [libFuzzer's options]")
    exit(2)
}
// libFuzzer must not see the target's name.
var count = CommandLine.argc - 1
var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv + 1
withUnsafeMutablePointer(to: &arguments) { pointer in
    pointer.withMemoryRebound(to: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?.self, capacity: 1) {
        exit(LLVMFuzzerRunDriver(&count, $0, target))
    }
}
