// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

// A package of its own, since all of it, the library included, is built with the instrumentation of libFuzzer: see run.
let package = Package(
    name: "fuzz",
    dependencies: [
        // By name: the folder of a checkout may have any.
        .package(name: "swift-vfio", path: "../.."),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    ],
    targets: [
        .target(name: "CFuzz"),
        .executableTarget(
            name: "Fuzz",
            dependencies: [
                "CFuzz",
                .product(name: "VFIO", package: "swift-vfio"),
                .product(name: "VFIOPassthrough", package: "swift-vfio"),
                .product(name: "VFIOMock", package: "swift-vfio"),
                .product(name: "NVMe", package: "swift-vfio"),
                .product(name: "VirtioNet", package: "swift-vfio"),
                .product(name: "SystemPackage", package: "swift-system"),
            ], swiftSettings: settings),
    ], swiftLanguageModes: [.v6])
