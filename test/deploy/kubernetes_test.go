package deploy

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"walpurge/config"
)

// manifest is what deploy/kubernetes uses of the objects of the Kubernetes API, all kinds in one
// (https://kubernetes.io/docs/reference/kubernetes-api/). A key that isn't here is an error.
type manifest struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name        string            `yaml:"name"`
		Labels      map[string]string `yaml:"labels"`
		Annotations map[string]string `yaml:"annotations"`
	} `yaml:"metadata"`
	Data map[string]string `yaml:"data"`
	Spec struct {
		Replicas int           `yaml:"replicas"`
		Selector yaml.MapSlice `yaml:"selector"`
		Strategy struct {
			RollingUpdate struct {
				MaxUnavailable int `yaml:"maxUnavailable"`
				MaxSurge       int `yaml:"maxSurge"`
			} `yaml:"rollingUpdate"`
		} `yaml:"strategy"`
		Ports    []servicePort `yaml:"ports"`
		Template struct {
			Metadata struct {
				Labels      map[string]string `yaml:"labels"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"metadata"`
			Spec struct {
				TerminationGracePeriodSeconds int         `yaml:"terminationGracePeriodSeconds"`
				SecurityContext               podSecurity `yaml:"securityContext"`
				InitContainers                []container `yaml:"initContainers"`
				Containers                    []container `yaml:"containers"`
				Volumes                       []struct {
					Name      string                `yaml:"name"`
					ConfigMap struct{ Name string } `yaml:"configMap"`
				} `yaml:"volumes"`
			} `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

type servicePort struct {
	Name       string `yaml:"name"`
	Port       int    `yaml:"port"`
	TargetPort string `yaml:"targetPort"`
}

type podSecurity struct {
	RunAsNonRoot   bool                  `yaml:"runAsNonRoot"`
	SeccompProfile struct{ Type string } `yaml:"seccompProfile"`
}

type container struct {
	Name          string   `yaml:"name"`
	Image         string   `yaml:"image"`
	RestartPolicy string   `yaml:"restartPolicy"`
	Args          []string `yaml:"args"`
	EnvFrom       []struct {
		SecretRef struct{ Name string } `yaml:"secretRef"`
	} `yaml:"envFrom"`
	Env   []struct{ Name, Value string } `yaml:"env"`
	Ports []struct {
		Name          string `yaml:"name"`
		ContainerPort int    `yaml:"containerPort"`
	} `yaml:"ports"`
	StartupProbe   *probe `yaml:"startupProbe"`
	ReadinessProbe *probe `yaml:"readinessProbe"`
	LivenessProbe  *probe `yaml:"livenessProbe"`
	Resources      struct {
		Requests map[string]string `yaml:"requests"`
		Limits   map[string]string `yaml:"limits"`
	} `yaml:"resources"`
	SecurityContext struct {
		AllowPrivilegeEscalation bool                    `yaml:"allowPrivilegeEscalation"`
		ReadOnlyRootFilesystem   bool                    `yaml:"readOnlyRootFilesystem"`
		Capabilities             struct{ Drop []string } `yaml:"capabilities"`
	} `yaml:"securityContext"`
	VolumeMounts []struct {
		Name      string `yaml:"name"`
		MountPath string `yaml:"mountPath"`
		ReadOnly  bool   `yaml:"readOnly"`
	} `yaml:"volumeMounts"`
}

type probe struct {
	HTTPGet struct {
		Path string `yaml:"path"`
		Port string `yaml:"port"`
	} `yaml:"httpGet"`
	PeriodSeconds    int `yaml:"periodSeconds"`
	FailureThreshold int `yaml:"failureThreshold"`
}

func readManifests(t *testing.T) map[string]*manifest {
	t.Helper()
	all := map[string]*manifest{}
	for doc := range strings.SplitSeq(read(t, "deploy/kubernetes/walpurge.yaml"), "\n---\n") {
		m := new(manifest)
		if err := yaml.UnmarshalWithOptions([]byte(doc), m, yaml.Strict()); err != nil {
			t.Fatalf("deploy/kubernetes/walpurge.yaml: %s", yaml.FormatError(err, false, true))
		}
		all[m.Kind] = m
	}
	return all
}

func TestKubernetesSidecarStartsFirstAndIsProbed(t *testing.T) {
	all := readManifests(t)
	for kind, api := range map[string]string{"ConfigMap": "v1", "Deployment": "apps/v1", "Service": "v1"} {
		if all[kind] == nil || all[kind].APIVersion != api {
			t.Fatalf("there is no %s of %s", kind, api)
		}
	}
	pod := all["Deployment"].Spec.Template.Spec
	if len(pod.InitContainers) != 1 || pod.InitContainers[0].RestartPolicy != "Always" {
		t.Fatalf("the proxy is no native sidecar: %+v", pod.InitContainers)
	}
	proxy := pod.InitContainers[0]
	ports := map[string]int{}
	for _, p := range proxy.Ports {
		ports[p.Name] = p.ContainerPort
	}
	for name, p := range map[string]*probe{"startup": proxy.StartupProbe, "readiness": proxy.ReadinessProbe, "liveness": proxy.LivenessProbe} {
		if p == nil || p.HTTPGet.Path != "/healthz" || ports[p.HTTPGet.Port] == 0 {
			t.Errorf("the %s probe asks nothing that the proxy answers: %+v", name, p)
		}
	}
	c, err := config.Parse("proxy.yaml", []byte(all["ConfigMap"].Data["proxy.yaml"]), func(name string) (string, bool) {
		v, ok := map[string]string{"ADMIN_TOKEN": "a-token", "DATABASE_URL": "postgres://db/shop"}[name]
		return v, ok
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]config.Address{"http": c.Listen, "admin": c.Admin} {
		if _, port, _ := net.SplitHostPort(a.Address); port == "" || ports[name] == 0 || !strings.HasSuffix(a.Address, ":"+port) || atoi(t, port) != ports[name] {
			t.Errorf("the proxy listens on %s and the port %s is %d", a, name, ports[name])
		}
	}
	if _, port, _ := net.SplitHostPort(c.Origin.Host); atoi(t, port) != pod.Containers[0].Ports[0].ContainerPort {
		t.Errorf("the proxy's origin is %s, the service's port %d", c.Origin, pod.Containers[0].Ports[0].ContainerPort)
	}
	if s := all["Service"].Spec.Ports; len(s) != 1 || ports[s[0].TargetPort] != ports["http"] {
		t.Errorf("the service leads past the proxy: %+v", s)
	}
	if grace := pod.TerminationGracePeriodSeconds; float64(grace) <= c.ShutdownTimeout.Seconds() {
		t.Errorf("a pod is killed after %d s, while requests may finish for %s", grace, c.ShutdownTimeout)
	}
	mount := proxy.VolumeMounts[0]
	if i := slices.Index(proxy.Args, "-config"); i < 0 || proxy.Args[i+1] != mount.MountPath+"/proxy.yaml" || mount.Name != pod.Volumes[0].Name ||
		pod.Volumes[0].ConfigMap.Name != all["ConfigMap"].Metadata.Name {
		t.Errorf("the configuration isn't where the proxy looks for it: %v, %+v", proxy.Args, proxy.VolumeMounts)
	}
	if !pod.SecurityContext.RunAsNonRoot || !proxy.SecurityContext.ReadOnlyRootFilesystem || !slices.Contains(proxy.SecurityContext.Capabilities.Drop, "ALL") {
		t.Error("the proxy may do more than it needs")
	}
}
