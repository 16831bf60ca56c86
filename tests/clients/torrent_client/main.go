// A BitTorrent v2 client of another make (anacrolix/torrent): downloads one torrent from one peer and
// prints the SHA-256 of the file.
//
//	torrent_client TORRENT-FILE|MAGNET PEER FOLDER
//
// PEER is ADDR:PORT. With "-" a magnet link's own peers are asked.
package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/metainfo"
)

const patience = 60 * time.Second

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "torrent_client:", err)
		os.Exit(1)
	}
}

func peerOf(address string) (torrent.PeerInfo, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return torrent.PeerInfo{}, err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return torrent.PeerInfo{}, err
	}
	return torrent.PeerInfo{Addr: &net.TCPAddr{IP: net.ParseIP(host), Port: number}, Trusted: true}, nil
}

func run() error {
	if len(os.Args) != 4 {
		return fmt.Errorf("usage: torrent_client TORRENT-FILE|MAGNET PEER FOLDER")
	}
	what, peer, folder := os.Args[1], os.Args[2], os.Args[3]
	config := torrent.NewDefaultClientConfig()
	config.DataDir = folder
	config.NoDHT, config.NoUpload, config.DisableTrackers = true, true, true
	config.DisablePEX, config.DisableUTP, config.DisableWebtorrent = true, true, true
	config.NoDefaultPortForwarding = true
	config.ListenHost = func(string) string { return "127.0.0.1" }
	config.ListenPort = 0
	config.DisableIPv6 = true
	client, err := torrent.NewClient(config)
	if err != nil {
		return err
	}
	defer client.Close()

	var download *torrent.Torrent
	if strings.HasPrefix(what, "magnet:") {
		download, err = client.AddMagnet(what)
	} else {
		var info *metainfo.MetaInfo
		if info, err = metainfo.LoadFromFile(what); err == nil {
			download, err = client.AddTorrent(info)
		}
	}
	if err != nil {
		return err
	}
	if peer != "-" {
		info, err := peerOf(peer)
		if err != nil {
			return err
		}
		download.AddPeers([]torrent.PeerInfo{info})
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case <-download.GotInfo():
	case <-ctx.Done():
		return fmt.Errorf("no metadata from the peer within %v", patience)
	}
	download.DownloadAll()
	select {
	case <-download.Complete().On():
	case <-ctx.Done():
		return fmt.Errorf("%d of %d bytes within %v", download.BytesCompleted(), download.Length(), patience)
	}
	return printDigest(filepath.Join(folder, download.Files()[0].Path()))
}

func printDigest(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return err
	}
	fmt.Printf("%x\n", hash.Sum(nil))
	return nil
}
