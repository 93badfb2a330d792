// pion's TURN client: sends numbered packets through a relay to a peer that echoes them.
//
// Arguments: HOST PORT TRANSPORT SECONDS MILLISECONDS (between packets). Prints one line of JSON.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/pion/turn/v2"
)

// counter counts the different packets that it is given.
type counter struct {
	mutex sync.Mutex
	seen  map[string]bool
}

func (c *counter) add(one []byte) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.seen[string(one)] = true
}

func (c *counter) count() int {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return len(c.seen)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// packet returns the bytes of a packet. Over TCP, this version of pion does not process a message
// shorter than nine bytes, header included, before the next one arrives.
func packet(number int) string {
	return fmt.Sprintf("%08d", number)
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	must(err)
	return value
}

// dial returns the socket that the client sends over.
func dial(server, transport string) net.PacketConn {
	if transport == "tcp" {
		stream, err := net.Dial("tcp4", server)
		must(err)
		return turn.NewSTUNConn(stream)
	}
	packets, err := net.ListenPacket("udp4", "127.0.0.1:0")
	must(err)
	return packets
}

func main() {
	server := net.JoinHostPort(os.Args[1], os.Args[2])
	duration := time.Duration(number(os.Args[4])) * time.Second
	pause := time.Duration(number(os.Args[5])) * time.Millisecond

	peer, err := net.ListenPacket("udp4", "127.0.0.1:0")
	must(err)
	atPeer := &counter{seen: map[string]bool{}}
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := peer.ReadFrom(buffer)
			if err != nil {
				return
			}
			atPeer.add(buffer[:n])
			_, err = peer.WriteTo(buffer[:n], from)
			must(err)
		}
	}()

	client, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: server,
		TURNServerAddr: server,
		Username:       "user",
		Password:       "pass",
		Conn:           dial(server, os.Args[3]),
	})
	must(err)
	must(client.Listen())
	relay, err := client.Allocate()
	must(err)
	came := make(chan string, 1<<16)
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, _, err := relay.ReadFrom(buffer)
			if err != nil {
				return
			}
			came <- string(buffer[:n])
		}
	}()

	sent := 0
	for ends := time.Now().Add(duration); time.Now().Before(ends); sent++ {
		_, err := relay.WriteTo([]byte(packet(sent)), peer.LocalAddr())
		must(err)
		time.Sleep(pause)
	}
	back, patience := map[string]bool{}, time.After(5*time.Second)
	for waits := true; waits && !back[packet(sent-1)]; {
		select {
		case one := <-came:
			back[one] = true
		case <-patience:
			waits = false
		}
	}
	must(json.NewEncoder(os.Stdout).Encode(map[string]int{
		"sent": sent, "to_peer": atPeer.count(), "back": len(back),
	}))
}
