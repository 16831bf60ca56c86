@0xd1c3f0a6b7e24c95;
using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("roost::wire");
interface Placeholder {}
