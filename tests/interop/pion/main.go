// A TURN server with pion's library, for tests/interop/conformance: over UDP and TCP on the first
// address argument, and over TLS on the second with a certificate and its key. It has the users of
// that script and allows peers on loopback.
package main

import (
	"crypto/tls"
	"log"
	"net"
	"os"

	"github.com/pion/turn/v2"
)

const realm = "conformance"

func main() {
	address := os.Args[1]
	packets, err := net.ListenPacket("udp4", address)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp4", address)
	if err != nil {
		log.Fatal(err)
	}
	certificate, err := tls.LoadX509KeyPair(os.Args[3], os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	secure, err := tls.Listen("tcp4", os.Args[2], config)
	if err != nil {
		log.Fatal(err)
	}
	keys := map[string][]byte{
		"alice": turn.GenerateAuthKey("alice", realm, "north"),
		"bob":   turn.GenerateAuthKey("bob", realm, "south"),
	}
	relays := &turn.RelayAddressGeneratorStatic{
		RelayAddress: net.IPv4(127, 0, 0, 1),
		Address:      "127.0.0.1",
	}
	_, err = turn.NewServer(turn.ServerConfig{
		Realm: realm,
		AuthHandler: func(name, _ string, _ net.Addr) ([]byte, bool) {
			key, known := keys[name]
			return key, known
		},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: packets, RelayAddressGenerator: relays}},
		ListenerConfigs: []turn.ListenerConfig{
			{Listener: listener, RelayAddressGenerator: relays},
			{Listener: secure, RelayAddressGenerator: relays},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	// The script ends the process.
	select {}
}
