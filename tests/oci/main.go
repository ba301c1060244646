// Command oci builds images from files, without a container runtime, stores them as OCI layouts, pushes them, and serves a registry
// for tests.
package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"sort"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const usage = `usage: oci build LAYOUT   builds the image that standard input describes as JSON, writes it to the new folder LAYOUT, prints its digest
       oci push LAYOUT REF   pushes it to REF (registry/name:tag), with the credentials of docker's configuration, prints its digest
       oci serve ADDRESS     serves an empty registry, in memory, until its standard input ends`

// An Image is the input of build.
type Image struct {
	// Layers, the lowest first.
	Layers [][]File `json:"layers"`
	// Config is the image's configuration as the OCI image specification has it: User, Env, Entrypoint, Cmd, Labels, ...
	Config v1.Config `json:"config"`
	// Annotations of the manifest.
	Annotations  map[string]string `json:"annotations"`
	Architecture string            `json:"architecture"`
	// Created is the time of the image and of all its files.
	Created time.Time `json:"created"`
}

// A File of a layer: a regular one with a source, a symbolic link with a target, otherwise a folder.
type File struct {
	Path   string `json:"path"`
	Source string `json:"source"`
	Target string `json:"target"`
	Mode   int64  `json:"mode"`
	Owner  int    `json:"owner"`
}

func main() {
	arguments := append(os.Args[1:], "", "", "")
	var err error
	switch {
	case arguments[0] == "build" && len(os.Args) == 3:
		err = build(os.Stdin, arguments[1])
	case arguments[0] == "push" && len(os.Args) == 4:
		err = push(arguments[1], arguments[2])
	case arguments[0] == "serve" && len(os.Args) == 3:
		err = serve(arguments[1])
	default:
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "oci:", err)
		os.Exit(1)
	}
}

func build(description io.Reader, folder string) error {
	var wanted Image
	decoder := json.NewDecoder(description)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&wanted); err != nil {
		return fmt.Errorf("the description of the image: %w", err)
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	created := v1.Time{Time: wanted.Created.UTC()}
	for _, files := range wanted.Layers {
		layer, err := layerOf(files, created.Time)
		if err != nil {
			return err
		}
		history := v1.History{Created: created, CreatedBy: "signalbox"}
		if image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: history, MediaType: types.OCILayer}); err != nil {
			return err
		}
	}
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created, config.Config = "linux", wanted.Architecture, created, wanted.Config
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return err
	}
	if len(wanted.Annotations) > 0 {
		image = mutate.Annotations(image, wanted.Annotations).(v1.Image)
	}
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s exists already", folder)
	}
	written, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	if err := written.AppendImage(image); err != nil {
		return err
	}
	return printDigest(image)
}

// layerOf is reproducible: the same files give the same layer.
func layerOf(files []File, created time.Time) (v1.Layer, error) {
	sort.SliceStable(files, func(i, j int) bool { return files[i].Path < files[j].Path })
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	for _, file := range files {
		header := &tar.Header{
			Name: strings.TrimPrefix(path.Clean("/"+file.Path), "/"), Mode: file.Mode, Uid: file.Owner, Gid: file.Owner,
			ModTime: created, Format: tar.FormatPAX,
		}
		var content []byte
		switch {
		case file.Source != "":
			read, err := os.ReadFile(file.Source)
			if err != nil {
				return nil, err
			}
			content = read
			header.Typeflag, header.Size = tar.TypeReg, int64(len(content))
		case file.Target != "":
			header.Typeflag, header.Linkname = tar.TypeSymlink, file.Target
		default:
			header.Typeflag = tar.TypeDir
			header.Name += "/"
		}
		if err := writer.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("%s: %w", file.Path, err)
		}
		if _, err := writer.Write(content); err != nil {
			return nil, fmt.Errorf("%s: %w", file.Path, err)
		}
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil }
	return tarball.LayerFromOpener(opener, tarball.WithMediaType(types.OCILayer))
}

func push(folder, reference string) error {
	index, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		return err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	if len(manifest.Manifests) != 1 {
		return fmt.Errorf("%s holds %d images, not one", folder, len(manifest.Manifests))
	}
	image, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		return err
	}
	target, err := name.NewTag(reference, name.StrictValidation)
	if err != nil {
		return err
	}
	// Without a timeout, a registry that accepts a connection and does not answer would block forever.
	patient := remote.DefaultTransport.(*http.Transport).Clone()
	patient.ResponseHeaderTimeout = 20 * time.Second
	if err := remote.Write(target, image, remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithTransport(patient)); err != nil {
		return refused(target, err)
	}
	return printDigest(image)
}

// refused returns one message about the answer of a registry, or about a missing answer.
func refused(target name.Tag, err error) error {
	registry := target.RegistryStr()
	said := strings.Join(strings.Fields(err.Error()), " ")
	var answer *transport.Error
	switch {
	case !errors.As(err, &answer):
		return fmt.Errorf("the registry %s does not answer: %s", registry, said)
	case answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden:
		return fmt.Errorf("the registry %s does not let us push %s: docker's configuration ($DOCKER_CONFIG or ~/.docker/config.json) must have"+
			" credentials for it that may, as docker login, oras login or skopeo login write them: %s", registry, target.RepositoryStr(), said)
	default:
		return fmt.Errorf("the registry %s does not take %s: %s", registry, target, said)
	}
}

func printDigest(image v1.Image) error {
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	fmt.Println(digest)
	return nil
}

func serve(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return http.Serve(listener, registry.New())
}
