// A data race on purpose, and a contended Mutex that has none: what ThreadSanitizer has to report, and what it has not.
// The one argument chooses.

import Synchronization

final class Counter: @unchecked Sendable { var count = 0 }

@main struct Race {
    static func main() async {
        let isGuarded = CommandLine.arguments.dropFirst().first == "guarded"
        let counter = Counter()
        let lock = Mutex(())
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    for _ in 0..<20_000 {
                        if isGuarded { lock.withLock { _ in counter.count += 1 } } else { counter.count += 1 }
                    }
                }
            }
        }
        print(counter.count)
    }
}
