@0xb6f1f5f0c6f3d1a7;
# A small interface to try links with.
using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("roost::echo");

interface Echo {
  ping @0 (number :UInt64) -> (number :UInt64);
  read @1 (size :UInt32) -> (bytes :Data);
  write @2 (bytes :Data) -> (size :UInt64);
  never @3 () -> ();
  fail @4 (text :Text) -> ();
  readBack @5 (other :Echo, size :UInt32) -> (size :UInt64);
}
