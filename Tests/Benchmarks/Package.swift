// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

let library: [Target.Dependency] = [
    "CBaseline", "Harness",
    .product(name: "VFIO", package: "swift-vfio"),
    .product(name: "VFIOMock", package: "swift-vfio"),
    .product(name: "SystemPackage", package: "swift-system"),
]

let package = Package(
    name: "benchmarks",
    dependencies: [
        // By name: the folder of a checkout may have any.
        .package(name: "swift-vfio", path: "../.."),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    ],
    targets: [
        .target(
            name: "CBaseline",
            cSettings: [.enableWarning("all"), .enableWarning("extra"), .treatAllWarnings(as: .error)]),
        .target(name: "Harness", dependencies: ["CBaseline"], swiftSettings: settings),
        // Symbolic links to the library's files, and the load: the allocator is not public.
        .target(name: "AllocatorUnderTest", swiftSettings: settings),
        .executableTarget(
            name: "NativeBenchmarks",
            dependencies: library + [
                "AllocatorUnderTest", .product(name: "NVMe", package: "swift-vfio"),
                .product(name: "VirtioNet", package: "swift-vfio"),
            ], swiftSettings: settings),
        .executableTarget(
            name: "LabBenchmarks", dependencies: library + [.product(name: "NVMe", package: "swift-vfio")],
            swiftSettings: settings),
    ], swiftLanguageModes: [.v6])
