package conninfo

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/jackc/pgservicefile"
)

// surround fills in what the string doesn't say: from a service first, then from the environment.
func (i *Info) surround() error {
	environment := map[string]setting{}
	for name, p := range parameters {
		if p.env == "" {
			continue
		}
		if value := os.Getenv(p.env); value != "" {
			environment[name] = setting{value, "the environment variable " + p.env}
		}
	}
	for _, name := range []string{"service", "servicefile"} {
		if _, given := i.settings[name]; !given {
			if s, ok := environment[name]; ok {
				i.settings[name] = s
			}
		}
	}
	if i.get("service") != "" {
		if err := i.readService(); err != nil {
			return err
		}
	}
	for name, s := range environment {
		if !i.has(name) {
			i.settings[name] = s
		}
	}
	return nil
}

// readService reads the service's section. As in libpq, it is looked for in the user's own file, then in the system's.
func (i *Info) readService() error {
	const file = "the service file"
	var found string
	if given := i.get("servicefile"); given != "" {
		found = given
	} else {
		var candidates []string
		if home, err := os.UserHomeDir(); err == nil {
			candidates = append(candidates, filepath.Join(home, ".pg_service.conf"))
		}
		if dir := os.Getenv("PGSYSCONFDIR"); dir != "" {
			candidates = append(candidates, filepath.Join(dir, "pg_service.conf"))
		}
		for _, c := range candidates {
			if s, err := pgservicefile.ReadServicefile(c); err == nil {
				if _, err := s.GetService(i.get("service")); err == nil {
					found = c
					break
				}
			}
		}
		if found == "" {
			return i.wrong("service", "names a service, but neither ~/.pg_service.conf nor PGSYSCONFDIR/pg_service.conf has a section for it; add it, or name the file by PGSERVICEFILE")
		}
	}
	services, err := pgservicefile.ReadServicefile(found)
	if err != nil {
		return i.wrong("servicefile", "names a service file that can't be read or holds something else than [SERVICE] and NAME=VALUE; correct it")
	}
	service, err := services.GetService(i.get("service"))
	if err != nil {
		return i.wrong("service", "names a service for which the service file has no section; add it")
	}
	i.settings["servicefile"] = setting{found, file}
	given := i.settings
	i.settings = map[string]setting{}
	for name, value := range service.Settings {
		if err := i.set(name, value, 0); err != nil {
			return &Error{file, "has a parameter in this service's section that is not known; take it out, or correct it"}
		}
	}
	for name, s := range i.settings {
		i.settings[name] = setting{s.value, file}
	}
	for name, s := range given {
		i.settings[name] = s
	}
	return nil
}

// files looks at the files of certificates: one that isn't there, or is something else, never works.
func (i *Info) files() error {
	if !i.encrypted() {
		return nil
	}
	if name := i.get("sslrootcert"); name != "" && name != "system" {
		text, err := os.ReadFile(name)
		if err != nil {
			return i.unread("sslrootcert", err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(text) {
			return i.wrong("sslrootcert", "has an sslrootcert that holds no certificate; name a PEM file with the authority's certificate")
		}
	}
	if i.get("sslcertmode") == "disable" {
		return nil
	}
	certName, keyName := i.get("sslcert"), i.get("sslkey")
	switch {
	case certName == "" && keyName == "":
		return nil
	case keyName == "":
		return i.wrong("sslcert", "has sslcert without sslkey; name the certificate's key by sslkey")
	case certName == "":
		return i.wrong("sslkey", "has sslkey without sslcert; name the key's certificate by sslcert")
	}
	cert, err := os.ReadFile(certName)
	if err != nil {
		return i.unread("sslcert", err)
	}
	key, err := os.ReadFile(keyName)
	if err != nil {
		return i.unread("sslkey", err)
	}
	block, _ := pem.Decode(key)
	switch {
	case block == nil:
		return i.wrong("sslkey", "has an sslkey that is no PEM file; convert it, such as with: openssl pkey -in KEY -out KEY.pem")
	case block.Type == "ENCRYPTED PRIVATE KEY":
		return i.wrong("sslkey", "has an sslkey that is encrypted in a way that is not supported (PKCS#8); decrypt it with openssl pkey, and guard the file")
	//lint:ignore SA1019 it is what libpq takes, and the driver
	case x509.IsEncryptedPEMBlock(block):
		//lint:ignore SA1019 as above
		if _, err := x509.DecryptPEMBlock(block, []byte(i.get("sslpassword"))); err != nil {
			return i.wrong("sslkey", "has an sslkey that sslpassword doesn't decrypt; correct sslpassword")
		}
		return nil
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		return i.wrong("sslcert", "has an sslcert and an sslkey that don't belong together, or are no certificate and no key; correct them")
	}
	return nil
}

// unread says that a file can't be read, without its name.
func (i *Info) unread(name string, err error) *Error {
	reason := "can't be read"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		reason = "isn't there"
	case errors.Is(err, fs.ErrPermission):
		reason = "can't be read by this process's user"
	}
	return i.wrong(name, "has an "+name+" that names a file which "+reason+"; correct the path, or provide the file")
}
